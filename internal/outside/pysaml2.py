"""A small service provider on pysaml2, for tests.

application.py describe ADDRESS FOLDER XMLSEC1 prints its metadata;
application.py serve ... serves it. FOLDER holds key.pem, cert.pem and, to
serve, idp.xml.
"""

import http.cookies
import http.server
import secrets
import sys
import threading
import urllib.parse

from saml2 import BINDING_HTTP_POST
from saml2.client import Saml2Client
from saml2.config import SPConfig
from saml2.metadata import entity_descriptor
from saml2.xmldsig import DIGEST_SHA256, SIG_RSA_SHA256

mode, address, folder, xmlsec1 = sys.argv[1:5]
base = "http://" + address
key, cert = folder + "/key.pem", folder + "/cert.pem"

settings = {
    "entityid": base + "/metadata",
    "xmlsec_binary": xmlsec1,
    "key_file": key,
    "cert_file": cert,
    "encryption_keypairs": [{"key_file": key, "cert_file": cert}],
    "allow_unknown_attributes": True,
    "service": {
        "sp": {
            "endpoints": {
                "assertion_consumer_service": [(base + "/acs", BINDING_HTTP_POST)],
                "single_logout_service": [(base + "/slo", BINDING_HTTP_POST)],
            },
            "signing_algorithm": SIG_RSA_SHA256,
            "digest_algorithm": DIGEST_SHA256,
            "authn_requests_signed": True,
            "logout_requests_signed": True,
            "logout_responses_signed": True,
            "want_response_signed": True,
            "want_assertions_signed": True,
            "allow_unsolicited": True,

            "name_id_format": ["urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"],
        }
    },
}
if mode == "serve":
    settings["metadata"] = {"local": [folder + "/idp.xml"]}
config = SPConfig().load(settings)
if mode == "describe":
    print(entity_descriptor(config))
    sys.exit()

client = Saml2Client(config)
requests = {}  # of ours that are not answered yet: ID to page
sessions = {}  # cookie to NameID
mails = {}  # cookie to mail address
lock = threading.Lock()

class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, status, body, **headers):
        self.send_response(status)
        headers.setdefault("Content-Type", "text/html; charset=utf-8")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        body = body.encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def deliver(self, info):
        """Sends the browser off with a message."""
        headers = dict(info["headers"])
        if "Location" in headers:
            return self.answer(303, "", Location=headers["Location"])
        return self.answer(200, info["data"] if isinstance(info["data"], str) else "".join(info["data"]))

    def user(self):
        cookie = http.cookies.SimpleCookie(self.headers.get("Cookie", ""))
        self.session = cookie["session"].value if "session" in cookie else None
        name = sessions.get(self.session)
        try:
            return name if name and client.users.sources(name) else None
        except KeyError:  # pysaml2 has logged it out
            return None

    def form(self):
        length = int(self.headers.get("Content-Length", "0"))
        return dict(urllib.parse.parse_qsl(self.rfile.read(length).decode(), keep_blank_values=True))

    def do_GET(self):
        with lock:
            url = urllib.parse.urlsplit(self.path)
            if url.path == "/private":
                return self.private()
            if url.path == "/logout":
                return self.logout()
            return self.answer(200, "<p>Signed out.</p>")

    def do_POST(self):
        with lock:
            form = self.form()
            if self.path == "/acs":
                return self.acs(form)
            return self.slo(form)

    def private(self):
        name = self.user()
        if name:
            return self.answer(200, "<p>Signed in.</p>", X_User=name.text, X_Mail=mails[self.session])
        request, info = client.prepare_for_authenticate(relay_state="/private")
        requests[request] = "/private"
        return self.deliver(info)

    def acs(self, form):
        answer = client.parse_authn_request_response(form["SAMLResponse"], BINDING_HTTP_POST, outstanding=requests)
        session = secrets.token_hex(16)
        sessions[session] = answer.name_id
        mails[session] = answer.ava.get("mail", [""])[0]
        return self.answer(303, "", Location=base + form.get("RelayState", "/private"), Set_Cookie="session=" + session + "; Path=/")

    def logout(self):
        name = self.user()
        if not name:
            return self.answer(200, "<p>Signed out.</p>")
        ((_, (binding, info)),) = client.global_logout(name).items()
        return self.deliver(info)

    def slo(self, params, binding=BINDING_HTTP_POST):
        if "SAMLResponse" in params:
            answer = client.parse_logout_request_response(params["SAMLResponse"], binding)
            client.handle_logout_response(answer)
            return self.answer(200, "<p>Signed out.</p>", X_Status=answer.response.status.status_code.value)
        name = self.user()
        return self.deliver(client.handle_logout_request(params["SAMLRequest"], name, binding, relay_state=params.get("RelayState", "")))

host, port = address.split(":")
http.server.ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
