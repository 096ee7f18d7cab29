// Makes the calls of a file with Go's net/http: drive BASE KEY FILE, as drive.py tells.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

type call struct {
	Name, Method, Target, Key string
	Fields                    map[string]string
	Body                      *string
	Times                     int
	Chunked                   bool
}

// A reader of which the client cannot tell the length.
type unsized struct{ io.Reader }

func main() {
	content, err := os.ReadFile(os.Args[3])
	var calls []call
	if err == nil {
		err = json.Unmarshal(content, &calls)
	}
	if err != nil {
		panic(err)
	}
	client := &http.Client{Timeout: 30 * time.Second}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, one := range calls {
		told, err := ask(client, one)
		if err != nil {
			told = map[string]any{"error": err.Error()}
		}
		told["name"] = one.Name
		line, _ := json.Marshal(told)
		fmt.Println(string(line))
	}
}

func ask(client *http.Client, one call) (map[string]any, error) {
	var body io.Reader
	if one.Body != nil {
		if one.Times == 0 {
			one.Times = 1
		}
		body = bytes.NewReader([]byte(strings.Repeat(*one.Body, one.Times)))
		if one.Chunked {
			body = unsized{body}
		}
	}
	request, err := http.NewRequest(one.Method, os.Args[1]+one.Target, body)
	if err != nil {
		return nil, err
	}
	if one.Key == "" {
		one.Key = os.Args[2]
	}
	request.Header.Set("Authorization", "Bearer "+one.Key)
	for name, value := range one.Fields {
		request.Header.Set(name, value)
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	fields := [][]string{}
	for name, values := range answer.Header {
		for _, value := range values {
			fields = append(fields, []string{name, value})
		}
	}
	sum := sha256.Sum256(content)
	start := content
	if len(start) > 2000 {
		start = start[:2000]
	}
	return map[string]any{"status": answer.StatusCode, "fields": fields, "length": len(content),
		"sha256": hex.EncodeToString(sum[:]), "start": string(start)}, nil
}
