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

-- The group of a label: of one that stands in a single group, that group, and else the one it was given.
create macro shown_group(given_group, given_label) as
    coalesce(
        (
            select case when count(*) = 1 then any_value(labels."group") end
            from labels
            where labels.label = given_label
        ),
        given_group);

-- What is counted, before it is gathered by item: photos that could be read and show apparel, of the
-- runs that count.
create view counted_photos as
select images.*
from images
join runs on runs.run_id = images.run_id
where runs.counted and may_count(images.status, images.is_apparel);

-- Of each source the newest run: what is there now.
create view newest_runs as
select source, arg_max(run_id, coalesce(last_tagged_at, loaded_at)) as run_id
from runs
group by source;

-- All photos that a load ever found, by content, and when: those that are there, and those that are gone.
create view seen_photos as
select
    content_sha256,
    image,
    source,
    sku,
    first_seen,
    (select max(loaded_at) from runs) as last_seen,
    true as is_there
from images
where content_sha256 is not null and run_id in (select run_id from newest_runs)
union all by name
select *, false as is_there
from gone_photos;

-- Files without tags, and why.
create view failures as
select image, source, status, error, file_size, modified_at, run_id
from images
where status <> 'ok';

-- What reviewers said, under the names that labels have now.
create view latest_corrections as
with named as (
    select *, shown_label(label) as name
    from corrections
)

select
    content_sha256,
    shown_group("group", name) as "group",
    name as label,
    verdict = 'is' as shown
from named
where content_sha256 is not null;

-- What reviewers said of photos that are not there now, or have another content by now.
create view orphaned_corrections as
select corrections.*
from corrections
anti join reviewed on reviewed.content_sha256 = corrections.content_sha256;

-- Of those, the ones to ask again: the product has a photo now of which this was not said. A photo at
-- the same path is asked alone; of answers about several contents, the latest is offered.
create view offered_corrections as
with orphans as (
    select
        row_number() over () as orphan,
        shown_group("group", shown_label(label)) as "group",
        shown_label(label) as label,
        verdict = 'is' as shown,
        image as looked_at,
        source,
        sku,
        reviewed_at
    from orphaned_corrections
),

candidates as (
    select photos.image, photos.run_id, photos.source as of_source, orphans.*
    from orphans
    join counted_photos as photos on photos.sku = orphans.sku
    union all
    select photos.image, photos.run_id, photos.source as of_source, orphans.*
    from orphans
    join counted_photos as photos on photos.image = orphans.looked_at
    where photos.sku is null or orphans.sku is null
),

nearest as (
    from candidates
    where of_source = source or source not in (select runs.source from runs)
    qualify (image = looked_at) = bool_or(image = looked_at) over (partition by orphan)
)

select image, run_id, "group", label, shown
from nearest
anti join reviewed
    on reviewed.image = nearest.image and reviewed.run_id = nearest.run_id
    and reviewed."group" = nearest."group" and reviewed.label = nearest.label
qualify row_number() over (
    partition by image, run_id, "group", label order by reviewed_at desc nulls last) = 1;

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
    and refuted."group" = tags."group" and refuted.label = tags.label
union all
select reviewed.image, reviewed.run_id, reviewed."group", reviewed.label
from reviewed
anti join tags
    on tags.image = reviewed.image and tags.run_id = reviewed.run_id
    and tags."group" = reviewed."group" and tags.label = reviewed.label
where reviewed.shown;
