package outside

import (
	_ "embed"
	"os/exec"
	"testing"
)

//go:embed pysaml2.py
var pysaml2 string

// PySAML2 is a small application that uses the library pysaml2, which makes
// its metadata itself.
func PySAML2(t testing.TB) *Application {
	t.Helper()
	python := pythonWith(t, "saml2", "python3-pysaml2")
	xmlsec1 := Program(t, "xmlsec1", "xmlsec1")
	s := newSite(t)
	a := &Application{Name: "pysaml2", EntityID: s.url("/metadata"), Page: s.url("/private"), Logout: s.url("/logout")}
	script := s.write("application.py", pysaml2)
	out, err := exec.Command(python, script, "describe", s.address, s.dir, xmlsec1).Output()
	if err != nil {
		t.Fatalf("pysaml2: %v", err)
	}
	a.Metadata = out
	a.run = func(t testing.TB, idp []byte) {
		s.write("idp.xml", string(idp))
		s.awaitDial(s.address, s.process([]string{"PYTHONDONTWRITEBYTECODE=1"}, nil, python, script, "serve", s.address, s.dir, xmlsec1))
	}
	return a
}

// pythonWith is a Python that has a Debian package's module; the first one on
// the PATH may be another.
func pythonWith(t testing.TB, module, pkg string) string {
	t.Helper()
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import "+module).Run() == nil {
			return python
		}
	}
	Missing(t, "the Python module "+module+" (Debian package "+pkg+")")
	return ""
}
