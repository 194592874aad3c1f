-- A digest that differs when the store's battles or trajectories do: of the batches that they came in, which stay what they
-- are when files are merged.
SELECT sha256(coalesce(string_agg(concat_ws('/', kind, run_id, batch), chr(10) ORDER BY kind, run_id, batch), ''))
FROM (
    SELECT DISTINCT 'battles' AS kind, run_id, batch FROM battles
    UNION ALL
    SELECT DISTINCT 'trajectories', run_id, document_file FROM trajectories
)
