package plan

import (
	"bytes"
	"encoding/json"
)

// StatementFailed reports whether an answer is that of a [StatementError]: status 200,
// and the statement of the client did nothing.
func StatementFailed(answer []byte) bool {
	if !bytes.HasPrefix(answer, []byte(`{"message":`)) { // most are not, and some are long
		return false
	}
	var members map[string]any
	return json.Unmarshal(answer, &members) == nil && len(members) == 2 && members["status"] == "error"
}
