# One account's side of Gatehouse: the SAML provider and one role, as an
# example. Beside this file lies metadata.xml:
#   curl -fsS https://aws.corp.example.com/saml/metadata -o metadata.xml

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

resource "aws_iam_saml_provider" "gatehouse" {
  name                   = "Gatehouse" # as aws.provider in gatehouse.yaml
  saml_metadata_document = file("${path.module}/metadata.xml")
}

resource "aws_iam_role" "read_only" {
  name                 = "ReadOnly"
  description          = "For people who come through Gatehouse"
  max_session_duration = 14400 # not less than max_session of the rules that give the role
  assume_role_policy = replace(file("${path.module}/trust-policy.json"),
  "arn:aws:iam::111122223333:saml-provider/Gatehouse", aws_iam_saml_provider.gatehouse.arn)
}

resource "aws_iam_role_policy_attachment" "read_only" {
  role       = aws_iam_role.read_only.name
  policy_arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
}
