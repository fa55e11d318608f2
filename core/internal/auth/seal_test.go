package auth_test

import (
	"bytes"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/auth"
)

func vault(t *testing.T, header string) auth.Vault {
	t.Helper()
	v, err := auth.VaultOf(header)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Only the holder of the key reads what was sealed, and only as what it is.
func TestVault(t *testing.T) {
	t.Parallel()
	secret := []byte(`{"apiKey":"dsp_secret"}`)
	mine := vault(t, "Bearer dsa_1")
	sealed := mine.Seal(secret, "a")
	if bytes.Contains(sealed, []byte("secret")) || bytes.Equal(sealed, mine.Seal(secret, "a")) {
		t.Errorf("sealed as %q", sealed)
	}
	if got, err := vault(t, "bearer  dsa_1 ").Open(sealed, "a"); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("opened as %q, %v", got, err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"another key":   func() ([]byte, error) { return vault(t, "Bearer dsa_2").Open(sealed, "a") },
		"no key":        func() ([]byte, error) { return vault(t, "").Open(sealed, "a") },
		"another thing": func() ([]byte, error) { return mine.Open(sealed, "b") },
		"a changed bit": func() ([]byte, error) {
			sealed[20] ^= 1
			defer func() { sealed[20] ^= 1 }()
			return mine.Open(sealed, "a")
		},
		"nothing": func() ([]byte, error) { return mine.Open(nil, "a") },
	} {
		if got, err := open(); err == nil {
			t.Errorf("%s opens it: %q", name, got)
		}
	}
	if got, err := mine.Open(mine.Seal(nil, "a"), "a"); err != nil || len(got) != 0 {
		t.Errorf("nothing was opened as %q, %v", got, err)
	}
}
