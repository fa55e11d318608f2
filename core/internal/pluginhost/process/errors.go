package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

var (
	errStartTimeout     = errors.New("it did not serve in time")
	errOtherName        = errors.New("the binary describes itself as")
	errOtherDescription = errors.New("it describes itself otherwise than when it was first started")
)

// refusal is an error of a plugin that came up and is not to run. It says all there
// is to say.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

func refuse(err error) error {
	if err == nil {
		return nil
	}
	return refusal{err}
}

// errProtocol is about a plugin that speaks another protocol than the host.
func errProtocol(plugin string) error {
	return refuse(fmt.Errorf("it was built for protocol %s, this host speaks %d: build it with the SDK of this release, or run the release that it was built for",
		plugin, pluginv1.ProtocolVersion))
}

// otherProtocol finds in go-plugin's text which protocol the plugin speaks.
var otherProtocol = regexp.MustCompile(`^incompatible API version with plugin\. Plugin version: (\d+),`)

// exitWait is how long a call that failed waits for the end of the process, so
// that its error can say how it ended. A dead process is seen within a
// millisecond or two when the machine is not overloaded.
const exitWait = 200 * time.Millisecond

// startError explains why a process did not come up, after it is closed.
func (c *connection) startError(ctx context.Context, err error) error {
	if m := otherProtocol.FindStringSubmatch(err.Error()); m != nil {
		err = errProtocol(m[1])
	}
	var refused refusal
	if errors.As(err, &refused) {
		return fmt.Errorf("plugin %s: %w", c.child.name, refused.error)
	}
	hint, err := c.explainStart(ctx, err)
	return fmt.Errorf("plugin %s: %s cannot be started: %w%s\n%s", c.child.name, c.child.origin, err, lastLines(c.child.out.tail()), hint)
}

// explainStart finds the cause of a failed start and what to do about it.
func (c *connection) explainStart(ctx context.Context, err error) (hint string, cause error) {
	switch {
	case errors.Is(err, errOtherName):
		return "Set the path to the right binary, or the name to the plugin's own.", err
	case errors.Is(err, errOtherDescription):
		return "The binary was replaced, or Describe is not pure. Reload the plugin to take the new one.", err
	case errors.Is(err, fs.ErrNotExist):
		return "The file or its interpreter does not exist: check the path.", err
	case errors.Is(err, fs.ErrPermission):
		return "Make it an executable file (chmod +x), on a file system that is not mounted noexec.", err
	case errors.Is(err, syscall.ENOEXEC):
		return "It is no program for this machine: check the file, its GOOS and its GOARCH.", err
	}
	if c.child.attached != nil {
		return "It was to run already, and to have served no other host: start it with --debug, and set plugins." + c.child.name + ".reattach to the file that it prints.", err
	}
	if c.child.started() {
		if how, ok := c.child.endedByItself(); ok {
			hint = "Its own lines say why; a plugin's main calls sdk.Serve and nothing that ends it."
			if len(c.child.out.tail()) == 0 {
				hint = "It wrote nothing to stderr: check that it is a plugin, whose main calls sdk.Serve and nothing that ends it."
			}
			return hint, fmt.Errorf("it ended with %s before it served", how)
		}
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errStartTimeout):
		return "It hangs before sdk.Serve, or the machine is overloaded and the start timeout too short.", cause
	case cause != nil:
		return "The start was cancelled.", cause
	}
	return "Build it with the SDK of this version, and print nothing to stdout before sdk.Serve.", err
}

// lastLines appends the last lines of stderr to a message, if there are any.
func lastLines(tail []string) string {
	if len(tail) == 0 {
		return ""
	}
	return "\nIts last lines on stderr:\n\t" + strings.Join(tail, "\n\t")
}

// callError turns the failure of a call below the application into what the
// caller should know. Only here is it decided whether the plugin is to blame or
// the caller has gone.
func (p *Process) callError(ctx context.Context, c *connection, what string, err error) *sdk.Error {
	code := status.Code(err)
	switch {
	case ctx.Err() != nil, code == codes.DeadlineExceeded: // no deadline but the caller's
		return sdk.ErrCancelled.Errorf("the request ended before %s did", what)
	case code == codes.ResourceExhausted:
		return sdk.ErrTooLarge.Errorf("the input or the answer of %s is over the %d bytes that a message may have: %s",
			what, pluginv1.MaxMessageBytes, status.Convert(err).Message())
	}
	how := status.Convert(err).Message()
	if code == codes.Unavailable || code == codes.Canceled {
		if c.child.endsWithin(ctx, exitWait) {
			how = c.child.exitStatus()
		} else {
			p.report(c)
		}
	}
	return sdk.ErrPluginDied.Errorf("plugin %s died during %s (%s): look at what has been done before you repeat it", p.cfg.Name, what, how)
}

// report tells the supervisor that a connection broke while the process lives.
func (p *Process) report(c *connection) {
	select {
	case p.broken <- c:
	default: // it has been told
	}
}
