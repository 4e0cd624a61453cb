-- What is counted: products where a feed was loaded, photos otherwise. Photos that could not be
-- read, photos that the screen says show no apparel, and runs of another model are not counted.
--
-- Variables narrow it down, in every report alike: `since` and `until` (dates), `only_labels` and
-- `only_groups` (lists), `filters` (column of a product -> values, such as
-- `map {'brand': ['Acme']}`). One that is not set narrows nothing.

create view chosen_labels as
select *
from labels
where (
        getvariable('only_labels') is null
        or list_contains(getvariable('only_labels')::varchar[], label))
    and (
        getvariable('only_groups') is null
        or list_contains(getvariable('only_groups')::varchar[], "group"));

-- The views `chosen_items` and `chosen_files` are `all_items` and `images` after `filters`, `since` and
-- `until`: they name the columns that the feed has, and are made with the database.
create view items as
select * from chosen_items where photos > 0;

-- What was tagged or failed, of the runs that count.
create view counted_files as
select chosen_files.*
from chosen_files
semi join (select run_id from runs where counted) as counted on counted.run_id = chosen_files.run_id;

create view item_photos as
select
    images.image,
    images.run_id,
    images.content_sha256,
    images.tag_count,
    items.item_id,
    items.item,
    items.source,
    items.sku,
    items.brand,
    items.category,
    items.price,
    items.currency,
    items.listed_at
from images
join items on items.item_id = images.item_id;

-- Two ways to the same rows: all of them where nothing narrows them down, which needs no join.
create macro narrowed() as
    getvariable('filters') is not null
    or getvariable('since') is not null
    or getvariable('until') is not null
    or getvariable('only_labels') is not null
    or getvariable('only_groups') is not null;

create view item_label_parts as
select * from all_item_labels where not narrowed()
union all
select *
from all_item_labels
semi join items on items.item_id = all_item_labels.item_id
semi join chosen_labels
    on chosen_labels.label = all_item_labels.label
    and chosen_labels."group" = all_item_labels."group"
where narrowed();

create view item_labels as
select item_id, "group", label, listed_at from item_label_parts where counts;

-- Sums of the parts and of their squares: what a corrected share is computed of.
create view label_totals as
select
    "group",
    label,
    count(*) filter (counts) as items,
    sum(part) as parts,
    sum(part * part) as squares
from item_label_parts
group by "group", label;

create view items_by_month as
select date_trunc('month', listed_at)::date as month, count(*) as items
from items
where listed_at is not null
group by all;

create view item_labels_by_month as
select
    "group",
    label,
    date_trunc('month', listed_at)::date as month,
    count(*) filter (counts) as items,
    sum(part) as parts,
    sum(part * part) as squares
from item_label_parts
where listed_at is not null
group by all;

-- What the counts rest on, and what was left out of them, after the filters; one row.
create view basis as
with by_run as (
    select
        run_id,
        count(*) filter (status = 'ok') as tagged,
        count(*) filter (status <> 'ok') as failed,
        count(*) filter (status = 'ok' and not is_apparel) as without_apparel,
        count(*) filter (may_count(status, is_apparel) and item_id is null) as without_product,
        max(tagged_at) as tagged_at
    from chosen_files
    group by run_id
),

read as (
    select
        coalesce(sum(failed) filter (counted), 0)::bigint as failed,
        coalesce(sum(without_apparel) filter (counted), 0)::bigint as without_apparel,
        coalesce(sum(without_product) filter (counted), 0)::bigint as without_product,
        coalesce(sum(tagged) filter (not counted), 0)::bigint as of_other_runs,
        count(distinct source) filter (counted) as sources,
        string_agg(distinct model_id[:12], ', ') filter (counted) as models,
        max(tagged_at) filter (counted) as tagged_at
    from by_run
    join (select run_id, source, model_id, counted from runs) as about
        on about.run_id = by_run.run_id
),

chosen as (
    select
        count(*) as items,
        count(listed_at) as items_with_date,
        coalesce(sum(photos), 0)::bigint as photos
    from items
)

select
    case when (select count(*) from products) > 0 then 'products' else 'photos' end as counted,
    chosen.*,
    read.*,
    (select count(*) from chosen_items where photos = 0) as products_without_photo,
    (
        select count(distinct (reviewed.content_sha256, reviewed.label))
        from reviewed
        semi join chosen_labels on chosen_labels.label = reviewed.label
        semi join counted_files
            on counted_files.image = reviewed.image and counted_files.run_id = reviewed.run_id
    ) as corrections
from chosen
cross join read;
