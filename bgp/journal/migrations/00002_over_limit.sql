-- +goose Up
UPDATE peers SET spec = json_remove(json_set(spec, '$.over_limit', 'close'), '$.close_over_limit') WHERE json_extract(spec, '$.close_over_limit') = 1;

-- +goose Down
UPDATE peers SET spec = json_remove(json_set(spec, '$.close_over_limit', json('true')), '$.over_limit') WHERE json_extract(spec, '$.over_limit') = 'close';
