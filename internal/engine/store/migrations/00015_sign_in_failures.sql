-- Failed sign-ins are counted per name and network, whether or not an account has the name.
-- compatible from: 12

-- +goose Up
CREATE TABLE sign_in_failures (
    name_hash    TEXT NOT NULL,   -- SHA-256 of the name, in hexadecimal: a password may have been typed as the name
    network      TEXT NOT NULL,   -- IPv4 address, or IPv6 network of 64 bits
    failures     BIGINT NOT NULL, -- since the last correct password
    locked_until BIGINT NOT NULL,
    at           BIGINT NOT NULL, -- latest attempt
    PRIMARY KEY (name_hash, network)
);
CREATE INDEX sign_in_failures_at ON sign_in_failures (at);

-- +goose Down
DROP TABLE sign_in_failures;
