-- title = "Files that could not be tagged"
-- question = "What could not be tagged, and why?"
-- read = """
-- Every file of the source is in the catalogue; these are the ones without tags, by code.
-- """
-- empty = "Every file was tagged."
-- by_label = false
--
-- [plot]
-- kind = "bars"
-- names = ["status"]
-- value = "files"
--
-- [show]
-- percent = ["share"]

with total as (select count(*) as files from counted_files)

select
    status,
    count(*) as files,
    any_value(total.files) as of_files,
    count(*) / any_value(total.files) as share,
    min(image) as example,
    arg_min(error, image) as error,
    case status
        when 'truncated' then 'copy it again from its source'
        when 'unsupported' then 'not a photo: leave it out with --include, or ignore it'
        when 'too_large' then 'make a smaller copy'
        when 'vanished' then 'run again'
        else 'see the error; restore the file'
    end as what_to_do
from counted_files
cross join total
where status <> 'ok'
group by status
order by files desc, status;
