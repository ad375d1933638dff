rem Gatehouse: arn:aws:sts::111122223333:assumed-role/Developer/alice@example.com until 2126-11-21T06:19:17Z
rem If a tool still uses another profile: set AWS_PROFILE=
set "AWS_ACCESS_KEY_ID=ASIAIOSFODNN7EXAMPLE"
set "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
set "AWS_SESSION_TOKEN=FwoGZXIvYXdzEBYaDGV4YW1wbGU/+tokentokentoken=="
set "AWS_CREDENTIAL_EXPIRATION=2126-11-21T06:19:17Z"
set "AWS_REGION=eu-west-1"
set "AWS_DEFAULT_REGION=eu-west-1"
set "AWS_ENDPOINT_URL_STS=http://127.0.0.1:8081"
