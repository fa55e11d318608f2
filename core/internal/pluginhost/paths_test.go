package pluginhost

import "testing"

// A prefix counts by whole segments, and a {catalog} by all that it stands for.
func TestUnder(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		path, prefix string
		want         bool
	}{
		{"/x/a", "/x/a", true},
		{"/x/a/b", "/x/a", true},
		{"/x/a/b", "/x/a/", true},
		{"/x/ab", "/x/a", false},
		{"/x", "/x/a", false},
		{"/anything", "/", true},
		{"{catalog}/anything", "/", true},
		{"{catalog}/x/a/b", "{catalog}/x/a", true},
		{"{catalog}/x/a/b", "/x/a", false},
		{"/x/a/b", "{catalog}/x/a", false},
		{"{catalog}/tables/{schema}", "{catalog}", true},
		{"{catalog}/tables", "/projects/{project}/tables", false}, // nor in a branch
		{"/projects/{p}/tables", "{catalog}/tables", true},
		{"/a/{id}/b", "/a/{name}", true},
		{"/a/{id}/b", "/a/b", false},
	} {
		if got := under(tc.path, tc.prefix); got != tc.want {
			t.Errorf("%s below %s: %v", tc.path, tc.prefix, got)
		}
	}
}

func TestLeads(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		prefix, path string
		want         bool
	}{
		{"/", "/anything", true},
		{"/x/a", "/x/a", true},
		{"/x/a", "/x/a/b", true},
		{"/x/a", "/x/ab", false},
		{"/x/a", "/x", false},
		{"/projects/{project}/x/a", "/projects/1/x/a/b", true},
		{"/projects/{project}/x/a", "/projects/1/y/a/b", false},
	} {
		if got := leads(tc.prefix, tc.path); got != tc.want {
			t.Errorf("%s, %s: %v", tc.prefix, tc.path, got)
		}
	}
}
