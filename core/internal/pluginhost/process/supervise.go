package process

import (
	"context"
	"errors"
	"fmt"
	"time"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// supervise is the goroutine that owns the life of the plugin: only it starts,
// replaces and closes connections.
func (p *Process) supervise(c *connection) {
	defer close(p.done)
	defer p.fork.close() // after every process it has started
	defer p.closing.Wait()
	defer p.enter(StateStopped, nil)
	for {
		cause := p.watch(p.stopping, c)
		if cause == nil {
			p.stopErr = p.drain(c)
			c.close()
			p.cfg.Logger.Info("plugin stopped", "pid", c.child.pid())
			return
		}
		// The successor does not wait for what is left of the dead process:
		// a callback may still be on its way out of the host.
		p.closing.Go(c.close)
		if c = p.revive(cause); c == nil {
			<-p.stopping.Done()
			return
		}
	}
}

// watch checks the plugin's health until the process has ended, and says why.
// It returns nil when the context has ended before.
func (p *Process) watch(until context.Context, c *connection) error {
	tick := time.NewTicker(p.cfg.HealthInterval)
	defer tick.Stop()
	for {
		select {
		case <-until.Done():
			return nil
		case <-c.child.exited:
			return endError(c, "ended by itself")
		case broken := <-p.broken:
			// gRPC would connect again, but go-plugin's own streams would not,
			// and a plugin that prints would hang.
			if broken == c {
				return end(c, "was killed because its connection broke")
			}
		case <-tick.C:
			if c.child.attached != nil {
				continue // a debugger may have stopped it
			}
			if err := c.health(until, p.cfg.HealthTimeout); err != nil && until.Err() == nil {
				return end(c, fmt.Sprintf("was killed because it did not answer the health check (%v)", err))
			}
		}
	}
}

// end kills a process for a reason, unless it has ended meanwhile.
func end(c *connection, reason string) error {
	c.child.kill()
	<-c.child.exited
	if _, ok := c.child.endedByItself(); ok {
		reason = "ended by itself"
	}
	return endError(c, reason)
}

// endError describes the end of a process with its last lines on stderr.
func endError(c *connection, how string) error {
	select {
	case <-c.child.closed:
	case <-time.After(2 * outputGrace): // the bound of reap
	}
	return fmt.Errorf("process %d %s: %s%s", c.child.pid(), how, c.child.exitStatus(), lastLines(c.child.out.tail()))
}

// revive starts the plugin again after its backoff, as often as it takes and is
// allowed. It returns nil when the plugin has failed or Stop was called.
func (p *Process) revive(cause error) *connection {
	begin := time.Now()
	for {
		delay, again := p.crashes.add(time.Now())
		if !again {
			p.fail(cause, fmt.Sprintf("it ended %d times within %v", p.cfg.CrashLimit, p.cfg.CrashWindow))
			return nil
		}
		p.note(cause)
		p.enter(StateRestarting, nil)
		p.cfg.Logger.Warn("plugin is down and will be started again", "in_ms", delay.Milliseconds(), "cause", cause)
		if !p.pause(delay) {
			return nil
		}
		p.enter(StateStarting, nil)
		c, err := connect(p.stopping, p.cfg, p.fork, p.description)
		switch {
		case err == nil:
			p.serveAgain(c)
			p.cfg.Logger.Info("plugin serves again", "pid", c.child.pid(), "took_ms", time.Since(begin).Milliseconds())
			return c
		case p.stopping.Err() != nil:
			return nil
		case errors.Is(err, errOtherDescription), errors.Is(err, errOtherName):
			p.fail(err, errOtherDescription.Error())
			return nil
		}
		cause = err
	}
}

// pause returns false if Stop was called meanwhile.
func (p *Process) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.stopping.Done():
		return false
	}
}

// serveAgain publishes the successor of a process that ended.
func (p *Process) serveAgain(c *connection) {
	p.mu.Lock()
	p.restarts++
	p.mu.Unlock()
	p.enter(StateRunning, c)
}

// note keeps the latest trouble for Status.
func (p *Process) note(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastError = cause.Error()
}

// fail gives the plugin up. The reason is what users may read.
func (p *Process) fail(cause error, reason string) {
	p.note(cause)
	p.mu.Lock()
	p.outOfUse = reason
	p.mu.Unlock()
	p.enter(StateFailed, nil)
	p.cfg.Logger.Error("plugin has failed and stays down: repair it, then reload the configuration or POST /admin/plugins/{name}/restart", "reason", reason, "cause", cause)
}

// drain waits until no call is running in the plugin, as long as the callers of
// Stop have patience. A plugin that hangs or dies now ends its calls as at any
// other time, but has no successor.
func (p *Process) drain(c *connection) error {
	until, cancel := context.WithCancel(p.draining)
	defer cancel()
	defer context.AfterFunc(p.idle, cancel)()
	if cause := p.watch(until, c); cause != nil {
		p.note(cause)
		return fmt.Errorf("plugin %s died before its last calls had ended: %w", p.cfg.Name, cause)
	}
	if p.idle.Err() == nil {
		return fmt.Errorf("plugin %s was stopped while calls were running in it, which are aborted: %w", p.cfg.Name, context.Cause(p.draining))
	}
	// The host has no call left. This asks for the plugin's own work, if a
	// later SDK lets it have any; that it dies instead is no loss.
	answer, cancel := context.WithTimeout(p.draining, p.cfg.HealthTimeout)
	defer cancel()
	_, _ = c.plugin.Drain(answer, &pluginv1.DrainRequest{})
	return nil
}
