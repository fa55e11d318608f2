package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
)

// Vault seals what is kept for the holder of a key: a repeated request is answered
// as the first was, and that answer may hold a secret that was shown once. On disk
// lies nothing of it that could be read without the key, which is stored as a hash
// only.
type Vault struct{ gcm cipher.AEAD }

// VaultOf makes the vault of the key in an Authorization header.
func VaultOf(header string) (Vault, error) {
	key, err := hkdf.Key(sha256.New, []byte(bearer(header)), nil, "answers kept for repeated requests", 32)
	if err != nil {
		return Vault{}, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return Vault{}, err
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	return Vault{gcm}, err
}

// Seal encrypts. about says what it is; Open must be told the same.
func (v Vault) Seal(plain []byte, about string) []byte {
	return v.gcm.Seal(nil, nil, plain, []byte(about))
}

// Open is the reverse of Seal. It fails for what was sealed with another key.
func (v Vault) Open(sealed []byte, about string) ([]byte, error) {
	plain, err := v.gcm.Open(nil, nil, sealed, []byte(about))
	if err != nil {
		return nil, errors.New("it was sealed with another key")
	}
	return plain, nil
}
