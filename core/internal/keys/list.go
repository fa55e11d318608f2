package keys

import (
	"github.com/keboola/duckdb-storage/sdk"
)

// List shows the keys of a project, Get one of them. Neither has a secret.
var (
	List = sdk.Command[ListRequest, ListResponse]{Name: "keys.List", Summary: "List the keys of the project, the oldest first, without their secrets."}
	Get  = sdk.Command[KeyRequest, Key]{Name: "keys.Get", Summary: "Show a key of the project, without its secret."}
)

// ListRequest is a page of the list.
type ListRequest struct {
	Limit     sdk.PageLimit `json:"limit,omitempty" in:"query"`
	PageToken string        `json:"pageToken,omitempty" in:"query"`
}

// ListResponse is one page.
type ListResponse struct {
	Items         []Key  `json:"items"`
	NextPageToken string `json:"nextPageToken,omitempty"`
}

func (c *Commands) list(ctx *sdk.Context, in ListRequest) (ListResponse, error) {
	out, now := ListResponse{Items: []Key{}}, c.now()
	for _, k := range c.Registry.Keys(ctx.Project()) {
		if k.ID <= in.PageToken {
			continue
		}
		if len(out.Items) == in.Limit.OrDefault() {
			out.NextPageToken = out.Items[len(out.Items)-1].ID
			break
		}
		out.Items = append(out.Items, show(k, now))
	}
	return out, nil
}

func (c *Commands) get(ctx *sdk.Context, in KeyRequest) (Key, error) {
	k, err := c.Registry.KeyOf(ctx.Project(), in.Key)
	if err != nil {
		return Key{}, err
	}
	return show(k, c.now()), nil
}
