// A function in Go with the standard library alone: what `bootstrap` of a provided runtime has to do.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
)

type event struct {
	Records []struct {
		EventName string `json:"eventName"`
		Dynamodb  struct {
			Keys map[string]map[string]string
		} `json:"dynamodb"`
	}
	Fail string `json:"fail"`
}

func handle(input event) (any, error) {
	if input.Fail != "" {
		return nil, fmt.Errorf("%s", input.Fail)
	}
	for _, record := range input.Records {
		fmt.Printf("%s %s\n", record.EventName, record.Dynamodb.Keys["pk"]["S"])
	}
	return map[string]any{"records": len(input.Records), "function": os.Getenv("AWS_LAMBDA_FUNCTION_NAME")}, nil
}

func main() {
	// As Go programs that close their files before they end do.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	go func() {
		<-interrupted
		fmt.Println("interrupted")
		os.Exit(1)
	}()
	base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	for {
		next, err := http.Get(base + "next")
		if err != nil {
			fmt.Println("cannot get the next event:", err)
			os.Exit(1)
		}
		body, _ := io.ReadAll(next.Body)
		next.Body.Close()
		if next.StatusCode != http.StatusOK {
			fmt.Println("cannot get the next event:", next.Status)
			os.Exit(1)
		}
		var input event
		err = json.Unmarshal(body, &input)
		var result any
		if err == nil {
			result, err = handle(input)
		}
		call, answer := "/response", result
		if err != nil {
			call, answer = "/error", map[string]string{"errorType": "errorString", "errorMessage": err.Error()}
		}
		text, _ := json.Marshal(answer)
		posted, err := http.Post(base+next.Header.Get("Lambda-Runtime-Aws-Request-Id")+call, "application/json", bytes.NewReader(text))
		if err != nil {
			fmt.Println("cannot answer:", err)
			os.Exit(1)
		}
		io.Copy(io.Discard, posted.Body)
		posted.Body.Close()
	}
}
