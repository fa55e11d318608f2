// Command loud is a plugin that logs what it is asked to, for the tests of the way
// that its lines take to the log of the service.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/sdk"
)

func main() { sdk.Serve(plugin()) }

func plugin() *sdk.Plugin {
	p := sdk.New("loud", "1.0.0")
	p.Summary("Logs what it is asked to.")
	sdk.Handle(p, sdk.Command[SayRequest, sdk.None]{Name: "loud.Say", Summary: "Log a line."}, say,
		sdk.POST("/x/loud/say"), sdk.Permission(sdk.AnyKey))
	return p
}

// SayRequest is the line.
type SayRequest struct {
	Level string `json:"level"`
	Text  string `json:"text"`
	Times int    `json:"times" jsonschema:"how often the text is in the message"`
	Print bool   `json:"print,omitempty" jsonschema:"on stderr, as it is, and not through the log"`
}

func say(c *sdk.Context, in SayRequest) (sdk.None, error) {
	text := strings.Repeat(in.Text, in.Times)
	if in.Print {
		_, err := fmt.Fprintln(os.Stderr, text)
		return sdk.None{}, err
	}
	c.Log().Log(hclog.LevelFromString(in.Level), text, "size", len(text))
	return sdk.None{}, nil
}
