-- The rights of a company's account end some hours after its latest sign-in at the company.
-- compatible from: 12

-- +goose Up
ALTER TABLE accounts ADD COLUMN company_at BIGINT NOT NULL DEFAULT 0; -- latest sign-in at the company; 0 for other accounts

-- +goose Down
ALTER TABLE accounts DROP COLUMN company_at;
