package demo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// SenderVariable is set in the environment of a process that is the platform of [Guarded]. Such a process calls [Send].
const SenderVariable = "PERENNIAL_DEMO_SENDER"

// An order makes the platform send a message at an instant, or present another certificate.
type order struct {
	At      time.Time `json:"at"`
	URL     string    `json:"url,omitempty"`
	Present *identity `json:"present,omitempty"`
}

// An identity is a certificate with its chain and its private key.
type identity struct {
	Chain [][]byte `json:"chain"`
	Key   []byte   `json:"key"`   // PKCS #8
	Roots []byte   `json:"roots"` // PEM; of the systems that the platform calls
}

// A reply is what came of an order.
type reply struct {
	Status int    `json:"status"` // of the answer to a message
	Error  string `json:"error,omitempty"`
}

// Send is the platform of [Guarded]: a process that has nothing but a certificate and sends the messages that it reads
// orders for, until there are no more.
func Send(in io.Reader, out io.Writer) error {
	var mu sync.Mutex // guards now
	var now time.Time
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	client := &http.Client{}
	orders, replies := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var o order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		mu.Lock()
		now = o.At
		mu.Unlock()
		var answer reply
		var err error
		if o.Present != nil {
			client.CloseIdleConnections()
			client, err = o.Present.client(clock)
		} else {
			answer.Status, err = post(client, o.URL)
		}
		if err != nil {
			answer.Error = err.Error()
		}
		if err := replies.Encode(answer); err != nil {
			return err
		}
	}
}

// client returns a client that presents the certificate.
func (i identity) client(clock func() time.Time) (*http.Client, error) {
	key, err := x509.ParsePKCS8PrivateKey(i.Key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(i.Roots)
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots,
		Time: clock, Certificates: []tls.Certificate{{Certificate: i.Chain, PrivateKey: key}}}}}, nil
}

func post(client *http.Client, url string) (status int, err error) {
	res, err := client.Post(url, "application/xml", strings.NewReader("<order/>"))
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// A sender is the process of the platform.
type sender struct {
	process *exec.Cmd
	in      io.WriteCloser
	orders  *json.Encoder
	replies *json.Decoder
}

// startSender runs this program again, as the platform.
func startSender(ctx context.Context) (*sender, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &sender{process: exec.CommandContext(ctx, program, "demo")}
	s.process.Env = append(os.Environ(), SenderVariable+"=1")
	s.process.Stderr = os.Stderr
	if s.in, err = s.process.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.orders, s.replies = json.NewEncoder(s.in), json.NewDecoder(out)
	return s, s.process.Start()
}

// do has an order carried out. It returns the status of the answer to a message.
func (s *sender) do(o order) (status int, err error) {
	var answer reply
	if err := errors.Join(s.orders.Encode(o), s.replies.Decode(&answer)); err != nil {
		return 0, fmt.Errorf("the process of the platform has ended: %w", err)
	}
	if answer.Error != "" {
		return 0, errors.New(answer.Error)
	}
	return answer.Status, nil
}

func (s *sender) end() error { return errors.Join(s.in.Close(), s.process.Wait()) }
