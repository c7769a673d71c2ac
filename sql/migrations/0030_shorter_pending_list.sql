-- A new patient's text waits in the pending list of the search's index, and the statement that fills the list moves all of it into the
-- index. At PostgreSQL's limit of 4 MB that takes 25 ms or more, for which everyone waits whose patient the statement makes. With an
-- eighth of it the wait is shorter, and the rows of a large import take half as long again. Without pg_trgm there is no such index.
alter index if exists patients_search_idx set (gin_pending_list_limit = 512);
