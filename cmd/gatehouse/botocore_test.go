package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"gatehouse/internal/outside"
)

// inPython is a program on botocore, which finds the profile, the token and
// us by itself. Where it cannot be told where STS is, the program tells it.
const inPython = `
import sys, botocore.session
try:
    print(botocore.session.Session(profile=sys.argv[1]).create_client("sts", endpoint_url=sys.argv[2]).get_caller_identity()["Arn"])
except Exception as e:
    sys.exit(type(e).__name__ + ": " + str(e))
`

// botocores are the Python programs here that have botocore, by version.
func botocores(t testing.TB) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		out, err := exec.CommandContext(t.Context(), python, "-c", "import botocore; print(botocore.__version__)").Output()
		if version := strings.TrimSpace(string(out)); err == nil && found[version] == "" {
			found[version] = python
		}
	}
	if len(found) == 0 {
		outside.Missing(t, "botocore (Debian package python3-botocore)")
	}
	return found
}

// knowsServices: botocore reads endpoints of services from 1.31 on.
func knowsServices(version string) bool {
	part := strings.Split(version, ".")
	minor, err := strconv.Atoi(part[min(1, len(part)-1)])
	return err == nil && (part[0] != "1" || minor >= 31)
}

func TestProgramsOnBotocoreHaveKeys(t *testing.T) {
	t.Parallel()
	pythons := botocores(t)
	l := bobsLaptop(t)
	l.write(".aws/config", l.read(".aws/config")+"[profile process]\ncredential_process = gatehouse credential-process 444455556666/PowerUser\nregion = eu-west-1\n")
	run := func(python, profile string) (string, error) {
		c := exec.CommandContext(t.Context(), python, "-c", inPython, profile, l.gate.AWS)
		c.Env = []string{"HOME=" + l.home, "PATH=" + os.Getenv("PATH"), "XDG_CACHE_HOME=" + l.home}
		out, err := c.CombinedOutput()
		return string(out), err
	}
	for version, python := range pythons {
		profiles := []string{"process"}
		if knowsServices(version) {
			profiles = append(profiles, "sandbox")
		}
		for _, profile := range profiles {
			l.judgeKeys("botocore "+version+", profile "+profile, func() (string, error) { return run(python, profile) })
		}
		t.Logf("botocore %s: profiles %q", version, profiles)
	}
}

func (l *laptop) read(name string) string {
	l.t.Helper()
	text, err := os.ReadFile(filepath.Join(l.home, name))
	if err != nil {
		l.t.Fatal(err)
	}
	return string(text)
}

// The AWS CLI 1 is no Debian package any more: it is tried where somebody has it.
func TestTheAWSCLI1HasKeys(t *testing.T) {
	t.Parallel()
	aws, err := exec.LookPath("aws")
	if err == nil {
		var out []byte
		out, err = exec.CommandContext(t.Context(), aws, "--version").CombinedOutput()
		if err == nil && !strings.HasPrefix(string(out), "aws-cli/1.") {
			aws = ""
		}
	}
	if err != nil || aws == "" {
		t.Log("there is no AWS CLI of version 1 here")
		return
	}
	l := bobsLaptop(t)
	l.judgeKeys("the AWS CLI", func() (string, error) {
		// Without its own cache: each call is to ask us.
		_ = os.RemoveAll(filepath.Join(l.home, ".aws/cli"))
		out, err := l.aws(aws, "sts", "get-caller-identity", "--query", "Arn", "--output", "text").CombinedOutput()
		return string(out), err
	})
}
