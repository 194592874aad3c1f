-- The file name of a trajectory without the part _ts-<team set>, which newer versions of metamon put before the result.
CREATE MACRO without_team_set(name) AS regexp_replace(
    name,
    '^(.+_\d+-\d+-\d+-\d+:\d+:\d+)_ts-.+_(WIN|LOSS)$',
    '\1_\2'
)
