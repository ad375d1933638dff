package saml
