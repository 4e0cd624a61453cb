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

-- The view `chosen_items` is `all_items` after `filters`: it names the columns that the feed has, and is
-- made with the database.
create view items as
select *
from chosen_items
where photos > 0
    and (getvariable('since') is null or listed_at >= getvariable('since')::date)
    and (getvariable('until') is null or listed_at <= getvariable('until')::date);

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
semi join chosen_labels on chosen_labels.label = all_item_labels.label
where narrowed();

create view item_labels as
select item_id, label, listed_at from item_label_parts where counts;

-- Sums of the parts and of their squares: what a corrected share is computed of.
create view label_totals as
select
    label,
    count(*) filter (counts) as items,
    sum(part) as parts,
    sum(part * part) as squares
from item_label_parts
group by label;

create view items_by_month as
select date_trunc('month', listed_at)::date as month, count(*) as items
from items
where listed_at is not null
group by all;

create view item_labels_by_month as
select
    label,
    date_trunc('month', listed_at)::date as month,
    count(*) filter (counts) as items,
    sum(part) as parts,
    sum(part * part) as squares
from item_label_parts
where listed_at is not null
group by all;

-- What the counts rest on, and what was left out of them, filters aside; one row.
create view basis as
with counted as (select * from runs where runs.counted),

read as (
    select
        count(*) filter (status <> 'ok') as failed,
        count(*) filter (status = 'ok' and not is_apparel) as without_apparel,
        count(*) filter (may_count(status, is_apparel) and item_id is null) as without_product
    from images
    semi join counted on counted.run_id = images.run_id
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
    (select coalesce(sum(tagged), 0)::bigint from runs where not runs.counted) as of_other_runs,
    (select count(*) from corrections semi join reviewed using (content_sha256))
        as corrections,
    (select count(distinct source) from counted) as sources,
    (select string_agg(distinct model_id[:12], ', ') from counted) as models,
    (select max(last_tagged_at) from counted) as tagged_at
from chosen
cross join read;
