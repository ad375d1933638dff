package aws

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"gatehouse"
)

var (
	gov   = gatehouse.Account{ID: "111122223333", Region: "us-gov-west-1", Partition: "aws-us-gov"}
	china = gatehouse.Account{ID: "111122223333", Region: "cn-north-1", Partition: "aws-cn"}
)

func TestForeignDestinationsAreRefused(t *testing.T) {
	c := newClient(t, Config{})
	for _, wish := range []string{
		"https://evil.example/", "https://evil.example/https://console.aws.amazon.com/", "//console.aws.amazon.com/", "/console/home",
		"console.aws.amazon.com", "http://console.aws.amazon.com/", "javascript:alert(1)//console.aws.amazon.com/", "data:text/html,x",
		"https://console.aws.amazon.com.evil.example/", "https://evilconsole.aws.amazon.com/", "https://console.aws.amazon.com:8443/",
		"https://console.aws.amazon.com:443/", "https://console.aws.amazon.com:/", "https://console.aws.amazon.com./",
		"https://user@console.aws.amazon.com/", "https://console.aws.amazon.com@evil.example/", "https://a:b@console.aws.amazon.com/",
		`https://console.aws.amazon.com\@evil.example/`, `https://evil.example\.console.aws.amazon.com/`, `https:\\console.aws.amazon.com/`,
		"https:console.aws.amazon.com/", "https:/console.aws.amazon.com/", "https:///console.aws.amazon.com/",
		"https://console.aws.amazon.com%2eevil.example/", "https://console.aws.amazon.com%00.evil.example/", "https://console%2eaws.amazon.com/",
		"https://console.aws.amazon.com/\x00", "https://console.aws.amazon.com/\r\nX: y", "https://console.aws.amazon.com/\t", " https://console.aws.amazon.com/",
		"https://console.aws.amazon.com/a b", "https://console.aws.amazon.com/\"onclick=x", "https://console.aws.amazon.com/<b>", "https://console.aws.amazon.com/ü",
		"https://cоnsole.aws.amazon.com/", // a Cyrillic о
		"https://s3.console.aws.amazon.com/s3/", "https://signin.aws.amazon.com/", "https://aws.amazon.com/", "https://a.b.console.aws.amazon.com/",
		"https://.console.aws.amazon.com/", "https://eu-west-1..console.aws.amazon.com/", "https://cn-north-1.console.aws.amazon.com/",
		"https://console.amazonaws.cn/", "https://console.amazonaws-us-gov.com/", "https://us-gov-west-1.console.aws.amazon.com/",
		"https://999988887777-abcdefgh.eu-west-1.console.aws.amazon.com/", // another account's window
		"https://111122223333.eu-west-1.console.aws.amazon.com/", "https://111122223333-abcdefgh.console.aws.amazon.com/",
		"https://[::1]/", "https://127.0.0.1/", "http://127.0.0.1:8081/console/home", "https://console.aws.amazon.com/" + strings.Repeat("a", maxDestination),
	} {
		got, err := c.Destination(payments, "", wish)
		var invalid *gatehouse.Invalid
		if !errors.As(err, &invalid) || invalid.Field != "destination" || got != "" {
			t.Errorf("Destination(%q) = %q, %v; want it refused", wish, got, err)
		}
	}
}

func TestDestinations(t *testing.T) {
	const own = "http://127.0.0.1:8081"
	tests := []struct {
		name, endpoint string
		account        gatehouse.Account
		region, wish   string
		want           string
	}{
		{"no wish: the account's region", "", payments, "", "", "https://eu-west-1.console.aws.amazon.com/console/home?region=eu-west-1"},
		{"no wish: the chosen region", "", payments, "us-east-1", "", "https://us-east-1.console.aws.amazon.com/console/home?region=us-east-1"},
		{"a service by its name", "", payments, "us-east-1", "s3", "https://us-east-1.console.aws.amazon.com/s3/home?region=us-east-1"},
		{"a service whose page has another name", "", payments, "", "dynamodb", "https://eu-west-1.console.aws.amazon.com/dynamodbv2/home?region=eu-west-1"},
		{"a service in GovCloud", "", gov, "", "lambda", "https://us-gov-west-1.console.amazonaws-us-gov.com/lambda/home?region=us-gov-west-1"},
		{"a service of an endpoint on loopback", own, payments, "", "s3", own + "/console/s3/home?region=eu-west-1"},
		{"GovCloud", "", gov, "", "", "https://us-gov-west-1.console.amazonaws-us-gov.com/console/home?region=us-gov-west-1"},
		{"China", "", china, "", "", "https://cn-north-1.console.amazonaws.cn/console/home?region=cn-north-1"},
		{"a page without a region opens in the account's", "", payments, "", "https://console.aws.amazon.com/ec2/home", "https://eu-west-1.console.aws.amazon.com/ec2/home"},
		{"or in the chosen one", "", payments, "eu-north-1", "https://console.aws.amazon.com/ec2/home#Instances:", "https://eu-north-1.console.aws.amazon.com/ec2/home#Instances:"},
		{"a page's own region is kept", "", payments, "eu-north-1", "https://console.aws.amazon.com/ec2/home?region=us-east-2", "https://console.aws.amazon.com/ec2/home?region=us-east-2"},
		{"a region's console, all kept", "", payments, "", console, console},
		{"escapes are kept", "", payments, "", "https://eu-west-1.console.aws.amazon.com/s3/a%2Fb?prefix=x%2Fy&a=1#/c%20d", "https://eu-west-1.console.aws.amazon.com/s3/a%2Fb?prefix=x%2Fy&a=1#/c%20d"},
		{"letter case of the host", "", payments, "", "https://Eu-West-1.CONSOLE.aws.amazon.com/A", "https://eu-west-1.console.aws.amazon.com/A"},
		{"a multi-session window loses its prefix", "", payments, "", "https://111122223333-ab12cd34.eu-west-1.console.aws.amazon.com/x", "https://eu-west-1.console.aws.amazon.com/x"},
		{"China's console", "", china, "", "https://console.amazonaws.cn/x", "https://cn-north-1.console.amazonaws.cn/x"},
		{"our own endpoint's home", own, payments, "us-east-1", "", own + "/console/home?region=us-east-1"},
		{"a page of our own endpoint", own, payments, "", own + "/console/s3", own + "/console/s3"},
		{"AWS's console beside our own endpoint", own, payments, "", console, console},
		{"a private endpoint has no console", "https://signin.corp.example.com", payments, "", "", "https://eu-west-1.console.aws.amazon.com/console/home?region=eu-west-1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := newClient(t, Config{SigninEndpoint: tt.endpoint}).Destination(tt.account, tt.region, tt.wish)
			if err != nil || got != tt.want {
				t.Errorf("Destination(%q, %q) = %q, %v; want %q", tt.region, tt.wish, got, err, tt.want)
			}
		})
	}
}

func TestOnlyOurOwnEndpointItselfIsAConsole(t *testing.T) {
	c := newClient(t, Config{SigninEndpoint: "http://127.0.0.1:8081"})
	for _, wish := range []string{"https://127.0.0.1:8081/", "http://127.0.0.1:8082/", "http://127.0.0.1/", "http://localhost:8081/", "http://127.0.0.1:8081@evil.example/", "http://a@127.0.0.1:8081/"} {
		if got, err := c.Destination(payments, "", wish); !errors.Is(err, gatehouse.ErrInvalid) {
			t.Errorf("Destination(%q) = %q, %v; want it refused", wish, got, err)
		}
	}
}

func TestRegionsAreCheckedBeforeTheyBuildAHost(t *testing.T) {
	c := newClient(t, Config{})
	for _, region := range []string{"evil.example/", "eu-west-1.evil.example/", "eu-west-1/", "EU-WEST-1", "eu-west-1\n", "cn-north-1", "us-gov-west-1", "us-iso-east-1", "eusc-de-east-1", "eu-west", "eu-west-123", "-", "@"} {
		got, err := c.Destination(payments, region, "")
		var invalid *gatehouse.Invalid
		if !errors.As(err, &invalid) || invalid.Field != "region" {
			t.Errorf("Destination(%q) = %q, %v; want it refused", region, got, err)
		}
	}
	for _, region := range []string{"us-east-1", "eu-central-2", "ap-southeast-5", "il-central-1", "mx-central-1", "me-south-1", "ca-west-1", "ap-northeast-1"} {
		if _, err := c.Destination(payments, region, ""); err != nil {
			t.Errorf("Destination(%q) = %v, want a home page", region, err)
		}
	}
}

// What Destination lets pass is a console for a browser too, and stays one
// when it is read again.
func FuzzDestination(f *testing.F) {
	for _, s := range []string{console, "https://111122223333-ab12cd34.eu-west-1.console.aws.amazon.com/x?y#z", "https://console.aws.amazon.com",
		`https://console.aws.amazon.com\@evil.example/`, "https://console.aws.amazon.com:443/", "https://u@console.aws.amazon.com/", "https://[::1]/", "https://console.aws.amazon.com?x", "https://console.aws.amazon.com/%zz"} {
		f.Add(s)
	}
	c, err := New(Config{}, nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, wish string) {
		got, err := c.Destination(payments, "", wish)
		if err != nil {
			return
		}
		u, err := url.Parse(got)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Port() != "" || strings.ContainsAny(got, "\\\"<> \t\r\n") {
			t.Fatalf("Destination(%q) = %q", wish, got)
		}
		host, ok := strings.CutSuffix(u.Host, "console.aws.amazon.com")
		if !ok || host != "" && !of(payments).has(strings.TrimSuffix(host, ".")) {
			t.Fatalf("Destination(%q) = %q, host %q", wish, got, u.Host)
		}
		if again, err := c.Destination(payments, "", got); err != nil || again != got {
			t.Errorf("Destination(%q) = %q, %v; want it unchanged", got, again, err)
		}
	})
}
