// A session through the client that openapi-generator makes as `go`.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"

	openapi "example.org/clinic"
)

var next = regexp.MustCompile(`[?&]after=(\d+)`)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must(holds bool, what ...any) {
	if !holds {
		panic(fmt.Sprint(what...))
	}
}

// The body of a refusal, which has this status.
func refusal[Body any](response *http.Response, err error, status int) Body {
	var refused *openapi.GenericOpenAPIError
	must(errors.As(err, &refused), "no refusal: ", err)
	must(response.StatusCode == status, response.Status)
	body, isOne := refused.Model().(Body)
	must(isOne, "another body: ", string(refused.Body()))
	return body
}

func main() {
	const email, password = "go@example.org", "correct horse battery"
	configuration := openapi.NewConfiguration()
	configuration.Servers = openapi.ServerConfigurations{{URL: os.Getenv("BASE_URL")}}
	client := openapi.NewAPIClient(configuration)
	anyone := context.Background()
	_, _, err := client.AccountsAPI.Register(anyone).Registration(*openapi.NewRegistration("Go", email, password)).Execute()
	check(err)
	grant, _, err := client.AccountsAPI.Login(anyone).Login(*openapi.NewLogin(email, password)).Execute()
	check(err)
	ann := context.WithValue(anyone, openapi.ContextAccessToken, grant.Data.Token)

	input := *openapi.NewPatientInput("Zoë Müller", "1990-04-23", "female")
	var ids, seen []int64
	var etag string
	for range 5 {
		created, response, err := client.PatientsAPI.CreatePatient(ann).PatientInput(input).Execute()
		check(err)
		etag = response.Header.Get("ETag")
		ids = append(ids, created.Data.Id)
	}
	request := client.PatientsAPI.ListPatients(ann).Limit(2)
	for {
		page, response, err := request.Execute()
		check(err)
		for _, patient := range page.Data {
			seen = append(seen, patient.Id)
		}
		link := next.FindStringSubmatch(response.Header.Get("Link"))
		if link == nil {
			break
		}
		after, err := strconv.ParseInt(link[1], 10, 64)
		check(err)
		request = request.After(after)
	}
	must(slices.Equal(seen, ids), seen, ids)

	changes := *openapi.NewPatientChanges()
	changes.SetPhone("+49 30 1234567")
	change := client.PatientsAPI.PatchPatient(ann, ids[4]).PatientChanges(changes).IfMatch(etag)
	changed, _, err := change.Execute()
	check(err)
	must(changed.Data.GetPhone() == "+49 30 1234567", changed.Data.GetPhone())
	_, response, err := change.Execute()
	refusal[openapi.Failure](response, err, 412)
	input.SetPhone("12")
	_, response, err = client.PatientsAPI.CreatePatient(ann).PatientInput(input).Execute()
	refused := refusal[openapi.FieldErrors](response, err, 400)
	must(len(refused.Data.Errors) == 1 && refused.Data.Errors[0].Field == "phone", refused)
	_, response, err = client.PatientsAPI.FindPatient(ann, 999_999).Execute()
	refusal[openapi.Failure](response, err, 404)
}
