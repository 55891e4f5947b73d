-- A receiver that an operator has unlinked from a counterparty is neither proposed nor linked to it again.
-- compatible from: 12

-- +goose Up
ALTER TABLE receivers ADD COLUMN unlinked_from TEXT NOT NULL DEFAULT ''; -- ID of the counterparty; '' for none

-- +goose Down
ALTER TABLE receivers DROP COLUMN unlinked_from;
