-- A key is whatever the client chose, compared as it was sent.

alter table idempotency_keys alter column key type text using key::text;
