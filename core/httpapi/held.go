package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
)

// maxKeptBytes bounds an answer that is kept for repeats. It is what a command may
// answer as JSON.
const maxKeptBytes = 1 << 20

// keptHeaders are those of an answer that belong to it, and not to the connection or
// to the request.
var keptHeaders = []string{"Cache-Control", "Content-Type", "Location", "Preference-Applied"}

// kept is an answer that can be given again, byte for byte.
type kept struct {
	Status int               `json:"status"`
	Header map[string]string `json:"header"`
	Body   []byte            `json:"body"`
}

// send gives a kept answer to a client.
func (k *kept) send(w http.ResponseWriter) {
	for name, value := range k.Header {
		w.Header().Set(name, value)
	}
	w.Header().Set("Idempotency-Replayed", "true")
	w.WriteHeader(k.Status)
	w.Write(k.Body)
}

func (k *kept) marshal() []byte {
	out, _ := json.Marshal(k) // texts and bytes always marshal
	return out
}

// held keeps an answer back until it is complete, so that it is durable before the
// client has it. What is too large to be kept, or flushed because it streams, goes on
// to the client and is no longer held.
type held struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
	passed bool
}

func (h *held) WriteHeader(status int) {
	if h.passed {
		h.ResponseWriter.WriteHeader(status)
		return
	}
	if h.status == 0 {
		h.status = status
	}
}

func (h *held) Write(b []byte) (int, error) {
	if !h.passed {
		h.WriteHeader(http.StatusOK)
		if h.body.Len()+len(b) <= maxKeptBytes {
			return h.body.Write(b)
		}
		if err := h.pass(); err != nil {
			return 0, err
		}
	}
	return h.ResponseWriter.Write(b)
}

// FlushError is for http.ResponseController.
func (h *held) FlushError() error {
	if !h.passed {
		h.WriteHeader(http.StatusOK)
		if err := h.pass(); err != nil {
			return err
		}
	}
	return http.NewResponseController(h.ResponseWriter).Flush()
}

// pass gives the client what is held, and holds nothing more.
func (h *held) pass() error {
	if h.passed || h.status == 0 { // there is no answer
		return nil
	}
	h.passed = true
	h.ResponseWriter.WriteHeader(h.status)
	if h.body.Len() == 0 {
		return nil
	}
	_, err := h.ResponseWriter.Write(h.body.Bytes())
	h.body = bytes.Buffer{}
	return err
}

// answer is what was held, or nil if there is nothing that could be kept. Encoded
// bytes are for the client that takes that encoding, and a repeat may not.
func (h *held) answer() *kept {
	if h.passed || h.status == 0 || h.Header().Get("Content-Encoding") != "" {
		return nil
	}
	k := &kept{Status: h.status, Header: map[string]string{}, Body: h.body.Bytes()}
	for _, name := range keptHeaders {
		if value := h.Header().Get(name); value != "" {
			k.Header[name] = value
		}
	}
	return k
}
