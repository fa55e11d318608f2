package httpapi

// explanation says what a type of problem means and what to do about it.
type explanation struct{ meaning, action string }

// explanations are by slug. A type that has none, because a plugin declares it, is
// explained by its kind.
var explanations = map[string]explanation{
	"malformed-request": {
		"The input has not the declared shape: an unknown or missing field, a wrong type, or no JSON.",
		"Read errors, which names each place by a JSON pointer, and correct the request.",
	},
	"invalid-request": {
		"The shape of the input is right, but its values cannot be accepted.",
		"Read the detail and correct the values. If retryable is true, a checksum did not match: send the bytes again.",
	},
	"unauthenticated": {
		"The request has no key, or one that is not valid: never made, deleted, expired, or a secret that was rotated out.",
		"Send Authorization: Bearer with the admin key or a key of the project. The detail says what has ended, and when.",
	},
	"permission-denied": {
		"The key may see this but not do it, or a plugin did what its command may not.",
		"Use the admin key, or a key with the permission that the detail names.",
	},
	"reserved-name": {
		"The name belongs to the service or to DuckDB.",
		"Choose another name.",
	},
	"not-found":         {"There is no such route, or no such thing.", "Check the path: /openapi.json and /docs list all of them."},
	"project-not-found": {"There is no such project, or not for this key; perhaps it was dropped meanwhile.", "Check the id and the key."},
	"branch-not-found":  {"The project has no such branch, or not for this key.", "Check the id of the branch, and the branch of the key; the main one is called default."},
	"key-not-found":     {"The project has no such key; perhaps it was deleted meanwhile.", "Check the id: GET /projects/{project}/keys lists the keys."},
	"share-not-found": {
		"No bucket is shared under this handle: it is mistyped, or the share was withdrawn.", "Ask the owner of the bucket for the handle; sharing anew gives a new one.",
	},
	"link-not-found": {"The bucket is there and is the project's own, so there is no link to remove.", "To remove the bucket itself: DELETE P/buckets/{bucket}."},
	"bucket-linked": {
		"Buckets of other projects are linked to what the request would remove. The context lists them.",
		"Unlink them first, or send force=true, which removes those links.",
	},
	"bucket-not-found": {"The project has no such bucket.", "Create the bucket first, or check its name."},
	"table-not-found":  {"The bucket has no such table.", "Create the table first, or check its name."},
	"column-not-found": {"The request names a column that the table does not have. Case counts.", "Check the names of the columns."},
	"file-not-found":   {"The project has no such file, or its bytes are no longer on disk.", "Check the id. If the file should be there, restore its bytes from a backup."},

	"project-exists": {"The id is taken, or files of a project with that id are still there.", "Choose another id, or move the files away."},
	"bucket-exists":  {"A bucket has the name already, perhaps in another case.", "Choose another name."},
	"table-exists":   {"A table has the name already, perhaps in another case.", "Choose another name, or drop the table."},
	"object-exists":  {"A table or view has the name already.", "Choose another name."},
	"conflict": {
		"The state of things does not allow this, or it changed while the request ran.",
		"Read the detail. If retryable is true, the same request may succeed now.",
	},

	"sql-error":            {"DuckDB refuses a statement that was made for the request.", "Read the detail."},
	"constraint-violation": {"A value breaks a rule of its column, for example NULL where none is allowed.", "Correct the data."},
	"invalid-csv": {
		"A line of the file is wrong. The context has row, column and value; rows are counted with the header.",
		"Correct the file.",
	},
	"too-large": {
		"A JSON body over 8 MiB, a message to a plugin over 16 MiB, or more rows than a callback returns.",
		"Send less, or ask for smaller pages.",
	},

	"queue-full":    {"Too many writes wait for this project. Nothing was done.", "Repeat after Retry-After."},
	"queue-timeout": {"The write waited too long for its turn in the project. Nothing was done.", "Repeat it. The detail and GET /admin/queues say who had the turn."},
	"jobs-full":     {"Too many jobs wait or run. Nothing was done.", "Repeat after Retry-After, or wait until some have ended: GET /jobs."},
	"reads-full":    {"The read waited too long for a place among those that run.", "Repeat it. The operator can raise engine.max_reads."},
	"streams-full":  {"The stream or export waited too long for a place among those that run.", "Repeat it. The operator can raise engine.max_streams, or look for slow clients."},
	"timeout":       {"The statement ran for longer than the request may take.", "Ask for less, or give the request more time where it can be set."},
	"cancelled":     {"The client left, or the request was cancelled. A commit that had begun is not undone.", "Look at what was done before you repeat it."},

	"disk-full":          {"The disk has no space left. The write was rolled back.", "Free space and repeat."},
	"out-of-memory":      {"The statement needs more than its project's share of the memory, or than it may spill to disk.", "Repeat with less at once, or raise engine.memory_limit."},
	"unavailable":        {"It cannot be done now: the service stops, the project was just reopened, or the data directory cannot be read or written.", "Repeat after Retry-After; read the detail."},
	"catalog-broken":     {"The project's database file is missing, damaged, or of a newer DuckDB. Other projects are served.", "Put the file back from a backup. To try it again as it is: POST /admin/projects/{project}/reopen."},
	"unsupported":        {"This release cannot do it.", "Read the detail."},
	"plugin-disabled":    {"The operator has switched off the plugin that the command belongs to. Its data stay as they are.", "Enable it: plugins.<name>.enabled, or POST /admin/plugins/{name}/enable."},
	"plugin-unavailable": {"The plugin is being restarted, or has failed for good.", "Repeat after Retry-After. If retryable is false, see GET /admin/plugins and the log, repair it and restart it."},
	"plugin-died": {
		"The plugin's process ended during a call that may have written something, or twice in one call.",
		"Look at what was done before you repeat it. The log has the plugin's last lines.",
	},
	"internal-error": {"A fault of the service or of a plugin.", "Find the requestId in the log and report it."},
	"answer-failed":  {"The write is committed, but its answer could not be made.", "Do not repeat it. Look at the result, and report the problem."},

	"idempotency-in-progress": {
		"The first request with this Idempotency-Key still runs.",
		"Repeat it after Retry-After, with the same key: it will be answered as the first one was.",
	},
	"idempotency-key-reused": {
		"Another request was sent with this Idempotency-Key within the last 24 hours.",
		"Send a new request with a key of its own, and a repeat exactly as the first request was.",
	},
	"idempotency-answer-lost": {
		"The first request with this Idempotency-Key has committed what it wrote, all or a part of it, and nobody knows its answer: the service or its plugin ended, or the client left.",
		"Read the state. If something is still to be done, send that with another key.",
	},
	"plan-not-available": {
		"The command does a part of its work before it answers, so it cannot show its plan.",
		"Leave out Prefer: return=plan.",
	},

	"transaction-timeout": {"A transaction of the command was open for too long and was rolled back.", "Repeat it; if it happens again, the plugin keeps its transactions open for too long."},
	"job-not-found":       {"There is no such job, or not for this key. Jobs that have ended are forgotten after a while.", "Check the id; GET /jobs lists the jobs."},
	"plugin-not-found":    {"There is no such plugin.", "GET /admin/plugins lists them."},
	"plugins-unchanged":   {"A plugin could not be loaded or let go of, so nothing was changed.", "Put right what the detail names, and repeat."},

	"method-not-allowed":     {"The path exists, but not with this method.", "See the Allow header, or /docs."},
	"not-acceptable":         {"Accept names no media type that the route has.", "Ask for one of those that the detail lists."},
	"unsupported-media-type": {"The body is not JSON.", "Send JSON, with Content-Type: application/json."},
}
