# Gatehouse: arn:aws:sts::111122223333:assumed-role/Developer/alice@example.com until 2126-11-21T06:19:17Z
# If a tool still uses another profile: unset AWS_PROFILE
export AWS_ACCESS_KEY_ID='ASIAIOSFODNN7EXAMPLE'
export AWS_SECRET_ACCESS_KEY='wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'
export AWS_SESSION_TOKEN='FwoGZXIvYXdzEBYaDGV4YW1wbGU/+tokentokentoken=='
export AWS_CREDENTIAL_EXPIRATION='2126-11-21T06:19:17Z'
export AWS_REGION='eu-west-1'
export AWS_DEFAULT_REGION='eu-west-1'
export AWS_ENDPOINT_URL_STS='http://127.0.0.1:8081'
