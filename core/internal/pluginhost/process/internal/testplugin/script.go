package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// scriptMark is between the program and the script that a test has appended to it. A
// copy of the program carries its script along, and another script is another release.
const scriptMark = "\n#script "

// script says what the plugin claims to be, true or not.
type script struct {
	Describe json.RawMessage `json:"describe"` // DescribeResponse
	// Refuse is what it says against its settings.
	Refuse string `json:"refuse"`
	// Exit ends the process with this status before it serves.
	Exit int `json:"exit"`
}

// readScript returns nil for a program without one.
func readScript() (*script, error) {
	const longest = 256 << 10
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	tail := raw[max(0, len(raw)-longest):]
	at := bytes.LastIndex(tail, []byte(scriptMark))
	if at < 0 || !bytes.HasSuffix(tail, []byte("}")) {
		return nil, nil
	}
	var s script
	return &s, json.Unmarshal(tail[at+len(scriptMark):], &s)
}

// serve plays the script.
func (s *script) serve() error {
	if s.Exit != 0 {
		fmt.Fprintln(os.Stderr, "told to exit")
		os.Exit(s.Exit)
	}
	var claim pluginv1.DescribeResponse
	if err := protojson.Unmarshal(s.Describe, &claim); err != nil {
		return err
	}
	name := claim.GetName()
	p := sdk.New(name, claim.GetVersion())
	settings := sdk.Config(p, Wanted{refuse: s.Refuse})
	sdk.Handle(p, sdk.Command[Text, Text]{Name: name + ".Echo"}, echo)
	sdk.Handle(p, sdk.Command[Empty, sdk.None]{Name: name + ".Exit"}, exit)
	sdk.Handle(p, sdk.Command[Empty, Text]{Name: name + ".Wait"}, func(c *sdk.Context, in Empty) (Text, error) {
		return sdk.Call(c, sdk.Command[Empty, Text]{Name: "own.Wait"}, in)
	})
	sdk.Handle(p, sdk.Command[Empty, Text]{Name: name + ".Settings"}, func(*sdk.Context, Empty) (Text, error) {
		return Text{settings.Get().Text}, nil
	})
	for _, h := range claim.GetHooks() {
		sdk.Before(p, sdk.Command[Text, Text]{Name: h.GetCommand()}, func(_ *sdk.Context, in Text) error {
			if in.Text == "veto" {
				return sdk.ErrConflict.Errorf("%s says no", name)
			}
			return nil
		})
	}
	proto.Reset(p.Describe())
	proto.Merge(p.Describe(), &claim)
	sdk.Serve(p)
	return nil
}

// Wanted are the settings of a plugin with a script.
type Wanted struct {
	Text   string `json:"text,omitempty"`
	refuse string
}

// Validate refuses them if the script says so.
func (w Wanted) Validate() error {
	if w.refuse != "" {
		return errors.New(w.refuse)
	}
	return nil
}
