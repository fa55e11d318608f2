package buckets

import (
	"github.com/keboola/duckdb-storage/plugins/buckets/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/hostapi"
)

func link(c *sdk.Context, in api.LinkRequest) (api.Bucket, error) {
	if _, err := sdk.Call(c, hostapi.CreateLink, hostapi.CreateLinkRequest{Bucket: in.Bucket, ShareHandle: in.ShareHandle}); err != nil {
		return api.Bucket{}, err
	}
	return show(c, in.Bucket)
}

func unlink(c *sdk.Context, in api.BucketRequest) (sdk.None, error) {
	return sdk.Call(c, hostapi.RemoveLink, hostapi.RemoveLinkRequest{Bucket: in.Bucket})
}

func revokeLinks(c *sdk.Context, in api.RevokeLinksRequest) (sdk.None, error) {
	if _, err := find(c, in.Bucket); err != nil {
		return sdk.None{}, err
	}
	removed, err := sdk.Call(c, hostapi.RevokeLinks, hostapi.RevokeLinksRequest{
		Bucket: in.Bucket, Project: in.TargetProject, TargetBucket: in.TargetBucket,
	})
	if err == nil && len(removed.Items) == 0 {
		err = hostapi.ErrLinkNotFound.Errorf("project %q has no such link to bucket %q; GET …/buckets/{bucket} lists those there are", in.TargetProject, in.Bucket).
			With("bucket", string(in.Bucket)).With("targetProject", in.TargetProject)
	}
	return sdk.None{}, err
}
