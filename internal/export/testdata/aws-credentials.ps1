# Gatehouse: arn:aws:sts::111122223333:assumed-role/Developer/alice@example.com until 2126-11-21T06:19:17Z
# If a tool still uses another profile: Remove-Item Env:AWS_PROFILE
$Env:AWS_ACCESS_KEY_ID='ASIAIOSFODNN7EXAMPLE'
$Env:AWS_SECRET_ACCESS_KEY='wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'
$Env:AWS_SESSION_TOKEN='FwoGZXIvYXdzEBYaDGV4YW1wbGU/+tokentokentoken=='
$Env:AWS_CREDENTIAL_EXPIRATION='2126-11-21T06:19:17Z'
$Env:AWS_REGION='eu-west-1'
$Env:AWS_DEFAULT_REGION='eu-west-1'
$Env:AWS_ENDPOINT_URL_STS='http://127.0.0.1:8081'
