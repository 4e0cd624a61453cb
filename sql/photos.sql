-- Whether a photo of a run that counts is counted itself: it could be read, and nothing says that it
-- shows no apparel.
create macro may_count(status, is_apparel) as
    status = 'ok' and is_apparel is distinct from false;

-- The name that a label is shown under, of any that a model or a reviewer may have given it.
create macro shown_label(given) as
    coalesce(
        (
            select any_value(label_names.label)
            from label_names
            where label_names.name = given and label_names.language is null
        ),
        given);

-- What is counted, before it is gathered by item: photos that could be read and show apparel, of the
-- runs that count.
create view counted_photos as
select images.*
from images
join runs on runs.run_id = images.run_id
where runs.counted and may_count(images.status, images.is_apparel);

-- Files without tags, and why.
create view failures as
select image, source, status, error, file_size, modified_at, run_id
from images
where status <> 'ok';

-- What reviewers said, under the names that labels have now; of what was said under several, the latest.
create view latest_corrections as
select
    content_sha256,
    shown_label(label) as label,
    arg_max(shown, coalesce(reviewed_at, '-infinity'::timestamp)) as shown
from corrections
where content_sha256 is not null
group by all;

-- What reviewers said of photos that are not there now, or have another content by now.
create view orphaned_corrections as
select corrections.*
from corrections
anti join reviewed on reviewed.content_sha256 = corrections.content_sha256;

-- The names of labels in other languages.
create view translations as
select label, language, name
from label_names
where language is not null;

-- The labels of a photo: the model's tags, and above them what reviewers said.
create view photo_labels as
select tags.image, tags.run_id, tags."group", tags.label
from tags
anti join (select * from reviewed where not shown) as refuted
    on refuted.image = tags.image and refuted.run_id = tags.run_id
    and refuted.label = tags.label
union all
select reviewed.image, reviewed.run_id, coalesce(labels."group", 'labels') as "group", reviewed.label
from reviewed
left join labels on labels.label = reviewed.label
anti join tags
    on tags.image = reviewed.image and tags.run_id = reviewed.run_id
    and tags.label = reviewed.label
where reviewed.shown;
