-- What only FHIR asks for. Single patients and doctors are read by the statements of their own files.

-- name: installation() :one
select 'urn:uuid:' || id as system
  from installation;
