// Command testplugin is the plugin that the tests of package process run. It
// misbehaves on request; the name under which it is started chooses what it
// does before it serves.
package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

func main() {
	told, err := readScript()
	if err == nil && told != nil {
		err = told.serve()
	}
	if err != nil {
		panic(err)
	}
	version := "1.0.0"
	switch filepath.Base(os.Args[0]) {
	case "crash-at-start":
		fmt.Fprintln(os.Stderr, "no licence found")
		os.Exit(3)
	case "chatty":
		fmt.Println("hello")
	case "vanishing": // after the handshake, before the first call
		handshake("nobody-listens")
		os.Exit(4)
	case "deaf": // listens and never answers
		if _, err := net.Listen("unix", socket("deaf")); err != nil {
			panic(err)
		}
		handshake("deaf")
		time.Sleep(time.Hour)
	case "protocol-two": // of a later release
		fmt.Printf("1|2|unix|%s|grpc|\n", socket("later"))
		time.Sleep(time.Hour)
	case "elsewhere": // wants the host to connect to a socket of others
		handshake("../elsewhere")
		time.Sleep(time.Hour)
	case "plugin-guard":
		sdk.Serve(guard())
	case "silent":
		fmt.Fprintln(os.Stderr, os.Getpid())
		time.Sleep(time.Hour)
	case "changing": // describes itself by a file, which is what Describe must not do
		content, err := os.ReadFile(filepath.Join(filepath.Dir(os.Args[0]), "version"))
		if err != nil {
			panic(err)
		}
		version = string(content)
	}
	sdk.Serve(plugin(version))
}

func plugin(version string) *sdk.Plugin {
	p := sdk.New("test", version)
	sdk.Handle(p, sdk.Command[Text, Text]{Name: "test.Echo"}, echo)
	sdk.Handle(p, sdk.Command[Text, Text]{Name: "test.Ask"}, ask)
	sdk.Handle(p, sdk.Command[Size, Text]{Name: "test.Inflate"}, inflate)
	sdk.Handle(p, sdk.Command[Empty, sdk.None]{Name: "test.Hang"}, hang)
	sdk.Handle(p, sdk.Command[Empty, sdk.None]{Name: "test.Stuck"}, stuck)
	sdk.Handle(p, sdk.Command[Text, sdk.None]{Name: "test.Panic"}, panics)
	sdk.Handle(p, sdk.Command[Text, sdk.None]{Name: "test.Crash"}, crash)
	sdk.Handle(p, sdk.Command[Empty, sdk.None]{Name: "test.Exit"}, exit)
	sdk.Handle(p, sdk.Command[Empty, sdk.None]{Name: "test.Disconnect"}, disconnect)
	sdk.Handle(p, sdk.Command[Empty, Surroundings]{Name: "test.Look"}, look)
	sdk.Handle(p, sdk.Command[Empty, sdk.None]{Name: "test.Print"}, prints)
	sdk.Handle(p, sdk.Command[Spawn, Spawned]{Name: "test.Spawn"}, spawn)
	sdk.Handle(p, sdk.Command[Text, sdk.None]{Name: "test.Lease"}, lease, sdk.Writes())
	sdk.Handle(p, sdk.Command[Text, sdk.None]{Name: "test.Nest"}, nest, sdk.Writes())
	sdk.Handle(p, execute, write, sdk.Writes())
	sdk.Handle(p, sdk.Command[Text, sdk.None]{Name: "test.Transact"}, transact, sdk.Writes())
	sdk.Emits(p, happened)
	sdk.Handle(p, sdk.Command[Text, sdk.None]{Name: "test.Emit"}, emit, sdk.Writes())
	return p
}

func socket(name string) string { return os.Getenv("PLUGIN_UNIX_SOCKET_DIR") + "/" + name }

// handshake prints what go-plugin prints once it listens on a socket.
func handshake(name string) { fmt.Printf("1|1|unix|%s|grpc|\n", socket(name)) }

// Empty is the input of commands that need none.
type Empty struct{}

// Text is a text.
type Text struct {
	Text string `json:"text"`
}

// Size asks for that many bytes.
type Size struct {
	Bytes int `json:"bytes"`
}

// Surroundings is what a plugin process sees of the host.
type Surroundings struct {
	PID   int      `json:"pid"`
	Group int      `json:"group"`
	Dir   string   `json:"dir"`
	Stdin string   `json:"stdin"`
	Env   []string `json:"env"`
	Files []string `json:"files"`
}

// Spawn asks for a child process.
type Spawn struct {
	Leave bool `json:"leave"` // the process group
}

// Spawned is the child process.
type Spawned struct {
	PID int `json:"pid"`
}

func echo(_ *sdk.Context, in Text) (Text, error) { return in, nil }

// ask makes a callback and returns what it answered.
func ask(c *sdk.Context, in Text) (Text, error) {
	rows, err := sdk.Query[Text](c, sql.Raw(in.Text))
	if err != nil {
		return Text{}, err
	}
	return rows[0], nil
}

func inflate(_ *sdk.Context, in Size) (Text, error) {
	return Text{strings.Repeat("x", in.Bytes)}, nil
}

// hang ends with the request; stuck does not.
func hang(c *sdk.Context, _ Empty) (sdk.None, error) {
	<-c.Done()
	return sdk.None{}, c.Err()
}

func stuck(*sdk.Context, Empty) (sdk.None, error) {
	time.Sleep(time.Hour)
	return sdk.None{}, nil
}

// panics does so where the SDK recovers, crash where nobody can.
func panics(_ *sdk.Context, in Text) (sdk.None, error) { panic(in.Text) }

func crash(c *sdk.Context, in Text) (sdk.None, error) {
	go panic(in.Text)
	return hang(c, Empty{})
}

func exit(*sdk.Context, Empty) (sdk.None, error) {
	os.Exit(1)
	return sdk.None{}, nil
}

// disconnect breaks every connection of the process, and leaves its listener.
func disconnect(c *sdk.Context, _ Empty) (sdk.None, error) {
	for fd := range 100 {
		if _, err := syscall.Getpeername(fd); err == nil {
			_ = syscall.Shutdown(fd, syscall.SHUT_RDWR)
		}
	}
	return hang(c, Empty{})
}

// lease takes one and ends as it is told.
func lease(c *sdk.Context, in Text) (sdk.None, error) {
	if err := c.Lease(); err != nil {
		return sdk.None{}, err
	}
	switch in.Text {
	case "exit":
		return exit(c, Empty{})
	case "stuck":
		return stuck(c, Empty{})
	}
	return sdk.None{}, nil
}

var execute = sdk.Command[Text, sdk.None]{Name: "test.Write"}

// write executes SQL by a callback.
func write(c *sdk.Context, in Text) (sdk.None, error) {
	_, err := c.Write(sdk.Unit{Do: []sql.Statement{sql.Raw(in.Text)}})
	return sdk.None{}, err
}

// nest writes in a command that it calls, by a callback of its own and by its plan,
// all of it within one lease.
func nest(c *sdk.Context, in Text) (sdk.Unit, error) {
	if err := c.Lease(); err != nil {
		return sdk.Unit{}, err
	}
	if _, err := sdk.Call(c, execute, in); err != nil {
		return sdk.Unit{}, err
	}
	if _, err := write(c, in); err != nil {
		return sdk.Unit{}, err
	}
	return sdk.Unit{Do: []sql.Statement{sql.Raw(in.Text)}}, nil
}

func look(*sdk.Context, Empty) (Surroundings, error) {
	out := Surroundings{PID: os.Getpid(), Group: syscall.Getpgrp(), Env: os.Environ()}
	out.Dir, _ = os.Getwd()
	out.Stdin, _ = os.Readlink("/proc/self/fd/0")
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(target, "/") {
			out.Files = append(out.Files, target)
		}
	}
	return out, nil
}

// prints writes in every way that a plugin may find.
func prints(c *sdk.Context, _ Empty) (sdk.None, error) {
	c.Log().Warn("a warning", "rows", 9007199254740993)
	c.Log().Debug("a detail")
	fmt.Println("printed to stdout")
	fmt.Fprintln(os.Stderr, "printed to stderr")
	raw := os.NewFile(2, "stderr")
	fmt.Fprintln(raw, `{"@message":1}`)
	fmt.Fprintln(raw, `{"@level":"error","@message":"late","@timestamp":false}`)
	fmt.Fprintln(raw, strings.Repeat("long ", 40_000))
	fmt.Fprintln(raw, "all printed")
	return sdk.None{}, nil
}

// spawn starts a child that shares stderr with the plugin.
func spawn(_ *sdk.Context, in Spawn) (Spawned, error) {
	cmd := exec.Command(filepath.Join(filepath.Dir(os.Args[0]), "silent"))
	cmd.Stderr = os.NewFile(2, "stderr")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: in.Leave}
	if err := cmd.Start(); err != nil {
		return Spawned{}, err
	}
	return Spawned{cmd.Process.Pid}, nil
}
