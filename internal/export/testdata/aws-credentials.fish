# Gatehouse: arn:aws:sts::111122223333:assumed-role/Developer/alice@example.com until 2126-11-21T06:19:17Z
# If a tool still uses another profile: set -e AWS_PROFILE
set -gx AWS_ACCESS_KEY_ID 'ASIAIOSFODNN7EXAMPLE'
set -gx AWS_SECRET_ACCESS_KEY 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'
set -gx AWS_SESSION_TOKEN 'FwoGZXIvYXdzEBYaDGV4YW1wbGU/+tokentokentoken=='
set -gx AWS_CREDENTIAL_EXPIRATION '2126-11-21T06:19:17Z'
set -gx AWS_REGION 'eu-west-1'
set -gx AWS_DEFAULT_REGION 'eu-west-1'
set -gx AWS_ENDPOINT_URL_STS 'http://127.0.0.1:8081'
