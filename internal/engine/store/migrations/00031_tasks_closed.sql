-- A task whose reason is gone is closed by the service.
-- compatible from: 12

-- +goose Up
ALTER TABLE tasks ADD COLUMN closed_for TEXT NOT NULL DEFAULT ''; -- why the service closed it; '' if a person did, or if it is open

-- +goose Down
ALTER TABLE tasks DROP COLUMN closed_for;
