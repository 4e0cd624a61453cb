-- title: Files that could not be tagged
-- question: What could not be tagged, and why?
-- read: Every file of the source is in the catalogue; these are the ones without tags, by code.
-- show: share as percent
-- plot: bars status files
-- empty: Every file was tagged.

with total as (
    select sum(files)::bigint as files from runs where counted
)

select
    failures.status,
    count(*) as files,
    any_value(total.files) as of_files,
    count(*) / any_value(total.files) as share,
    min(image) as example,
    arg_min(error, image) as error,
    case failures.status
        when 'truncated' then 'copy it again from its source'
        when 'unsupported' then 'not a photo: leave it out with --include, or ignore it'
        when 'too_large' then 'make a smaller copy'
        when 'vanished' then 'run again'
        else 'see the error; restore the file'
    end as what_to_do
from failures
join runs on runs.run_id = failures.run_id and runs.counted
cross join total
group by failures.status
order by files desc, failures.status;
