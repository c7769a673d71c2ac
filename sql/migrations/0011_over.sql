-- What is over is found without reading what is not: sessions in the order of their ends.

create index sessions_over_idx on sessions (coalesce(ended_at, expires_at), id);
