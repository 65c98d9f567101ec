-- What DuckDB is told about a bucket.

-- name: keys
CREATE SECRET lake (TYPE s3, PROVIDER config, SCOPE $scope, REGION $region, ENDPOINT $endpoint, URL_STYLE $url_style,
    USE_SSL $use_ssl, KEY_ID $key_id, SECRET $secret, SESSION_TOKEN $session_token);

-- name: role
-- Credentials that AWS gives to a service account, a task or an instance; asked for again when they expire.
CREATE SECRET lake (TYPE s3, PROVIDER credential_chain, REFRESH auto, SCOPE $scope, REGION $region,
    ENDPOINT $endpoint, URL_STYLE $url_style, USE_SSL $use_ssl);

-- name: first_files
-- One list request; there is nothing to be found.
SELECT file FROM glob($pattern);
