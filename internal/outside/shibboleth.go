package outside

import (
	"bytes"
	"fmt"
	"net/url"
	"regexp"
	"testing"
)

// Shibboleth is Apache with mod_shib, and its shibd. It is told how to sign:
// left alone it signs what is for programs by SHA-1.
func Shibboleth(t testing.TB) *Application {
	t.Helper()
	module(t, "mod_shib.so", "libapache2-mod-shib")
	shibd := Program(t, "shibd", "shibboleth-sp-utils")
	s := newSite(t)
	a := &Application{Name: "shibboleth", EntityID: s.url("/shibboleth"), Page: s.url("/private/"),
		Logout: s.url("/Shibboleth.sso/Logout?return=" + url.QueryEscape(s.url("/")))}
	a.Metadata = s.metadata(a.EntityID,
		endpoint{"SingleLogoutService", "HTTP-Redirect", "/Shibboleth.sso/SLO/Redirect"},
		endpoint{"SingleLogoutService", "HTTP-POST", "/Shibboleth.sso/SLO/POST"},
		endpoint{"AssertionConsumerService", "HTTP-POST", "/Shibboleth.sso/SAML2/POST"},
		endpoint{"AssertionConsumerService", "PAOS", "/Shibboleth.sso/SAML2/ECP"})
	a.run = func(t testing.TB, idp []byte) {
		s.write("idp.xml", string(idp))
		s.write("attribute-map.xml", shibbolethAttributes)
		s.write("shibd.logger", fmt.Sprintf(shibbolethLogger, s.path("shibd.log")))
		s.write("native.logger", fmt.Sprintf(shibbolethLogger, s.path("native.log")))
		s.write("shibboleth2.xml", fmt.Sprintf(shibbolethConf, s.dir, a.EntityID, entityID(t, idp), bytes.Contains(idp, []byte(`use="encryption"`))))
		ended := s.process(nil, []string{"shibd.log", "native.log"}, shibd, "-F", "-f", "-c", s.path("shibboleth2.xml"), "-p", s.path("shibd.pid"))
		s.awaitLine("shibd.log", "listener service starting", ended)
		s.apache("ShibConfig "+s.path("shibboleth2.xml")+shibbolethApache, "shib")
	}
	return a
}

var entityIDs = regexp.MustCompile(`\bentityID="([^"]+)"`)

// entityID is whom the metadata describes.
func entityID(t testing.TB, metadata []byte) string {
	t.Helper()
	m := entityIDs.FindSubmatch(metadata)
	if m == nil {
		t.Fatalf("metadata without an entityID:\n%s", metadata)
	}
	return string(m[1])
}

const shibbolethApache = `
<Location /Shibboleth.sso>
SetHandler shib
</Location>
<Location /private>
AuthType shibboleth
ShibRequestSetting requireSession 1
Require shib-session
</Location>
`

const shibbolethLogger = `log4j.rootCategory=INFO, file
log4j.category.Shibboleth-TRANSACTION=WARN
log4j.appender.file=org.apache.log4j.FileAppender
log4j.appender.file.fileName=%s
log4j.appender.file.layout=org.apache.log4j.PatternLayout
log4j.appender.file.layout.ConversionPattern=%%p %%c %%x: %%m%%n
`

const shibbolethAttributes = `<Attributes xmlns="urn:mace:shibboleth:2.0:attribute-map" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<Attribute name="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" id="nameid">
<AttributeDecoder xsi:type="NameIDAttributeDecoder" formatter="$Name"/>
</Attribute>
<Attribute name="mail" nameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic" id="mail"/>
</Attributes>
`

const shibbolethConf = `<SPConfig xmlns="urn:mace:shibboleth:3.0:native:sp:config" clockSkew="180">
<OutOfProcess logger="%[1]s/shibd.logger"/>
<InProcess logger="%[1]s/native.logger"/>
<UnixListener address="%[1]s/shibd.sock"/>
<ApplicationDefaults entityID="%[2]s" REMOTE_USER="nameid" encryption="%[4]t" signing="true" signingAlg="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256" digestAlg="http://www.w3.org/2001/04/xmlenc#sha256">
<Sessions lifetime="28800" timeout="3600" relayState="ss:mem" checkAddress="false" handlerSSL="false" cookieProps="http" redirectLimit="exact">
<SSO entityID="%[3]s" ECP="true">SAML2</SSO>
<Logout>SAML2 Local</Logout>
</Sessions>
<Errors supportContact="root@localhost"/>
<MetadataProvider type="XML" path="%[1]s/idp.xml"/>
<AttributeExtractor type="XML" path="%[1]s/attribute-map.xml"/>
<CredentialResolver type="File" key="%[1]s/key.pem" certificate="%[1]s/cert.pem"/>
</ApplicationDefaults>
<SecurityPolicyProvider type="XML" path="/etc/shibboleth/security-policy.xml"/>
<ProtocolProvider type="XML" path="/etc/shibboleth/protocols.xml"/>
</SPConfig>
`
