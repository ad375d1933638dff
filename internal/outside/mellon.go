package outside

import "testing"

// Mellon is Apache with mod_auth_mellon, which stands on lasso.
func Mellon(t testing.TB) *Application {
	t.Helper()
	module(t, "mod_auth_mellon.so", "libapache2-mod-auth-mellon")
	s := newSite(t)
	a := &Application{Name: "mellon", EntityID: s.url("/mellon/metadata"), Page: s.url("/private/"), Logout: s.url("/mellon/logout?ReturnTo=" + s.url("/"))}
	a.Metadata = s.metadata(a.EntityID,
		endpoint{"SingleLogoutService", "HTTP-Redirect", "/mellon/logout"},
		endpoint{"SingleLogoutService", "HTTP-POST", "/mellon/logout"},
		endpoint{"AssertionConsumerService", "HTTP-POST", "/mellon/postResponse"},
		endpoint{"AssertionConsumerService", "PAOS", "/mellon/paosResponse"})
	a.run = func(t testing.TB, idp []byte) {
		s.write("sp.xml", string(a.Metadata))
		s.write("idp.xml", string(idp))
		s.apache(mellonConf(s.dir), "auth_mellon")
	}
	return a
}

func mellonConf(dir string) string {
	return `MellonLockFile ` + dir + `/mellon.lock
MellonPostDirectory ` + dir + `
<Location />
MellonEnable info
MellonEndpointPath /mellon
MellonSPMetadataFile ` + dir + `/sp.xml
MellonSPPrivateKeyFile ` + dir + `/key.pem
MellonSPCertFile ` + dir + `/cert.pem
MellonIdPMetadataFile ` + dir + `/idp.xml
MellonSignatureMethod rsa-sha256
MellonUser NAME_ID
MellonRedirectDomains *
</Location>
<Location /private>
MellonEnable auth
AuthType Mellon
Require valid-user
</Location>
`
}
