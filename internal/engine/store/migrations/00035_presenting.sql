-- The arrangements that present a client certificate are counted and walked by tenant without reading their rows.
-- compatible from: 12

-- +goose Up
CREATE INDEX arrangements_presenting ON arrangements (tenant_id) WHERE authentication = 'client-certificate';

-- +goose Down
DROP INDEX arrangements_presenting;
