-- What is counted: products where a feed was loaded, photos otherwise. Photos that could not be
-- read, photos that the screen says show no apparel, and runs of another model are not counted.
--
-- Variables narrow it down, in every report alike: `since` and `until` (dates), `only_labels` and
-- `only_groups` (lists), `filters` (column of a product -> values, such as
-- `map {'brand': ['Acme']}`). One that is not set narrows nothing.

create view counted_photos as
select images.*
from images
join runs on runs.run_id = images.run_id
where runs.counted and images.status = 'ok' and images.is_apparel is distinct from false;

create view chosen_labels as
select *
from labels
where (
        getvariable('only_labels') is null
        or list_contains(getvariable('only_labels')::varchar[], label))
    and (
        getvariable('only_groups') is null
        or list_contains(getvariable('only_groups')::varchar[], "group"));

create view chosen_products as
select *
from products
where getvariable('filters') is null
    or list_bool_and(list_transform(
        map_entries(getvariable('filters')::map(varchar, varchar[])),
        lambda one: coalesce(
            list_contains(one.value, json_extract_string(
                to_json(products), '$."' || replace(one.key, '"', '\"') || '"')),
            false)));

create view item_photos as
with known as (
    select
        (select count(*) > 0 from products) as feed,
        (select count(distinct source) > 1 from runs where counted) as several,
        (select dates_from from settings) = 'feed' as dated_by_feed
)
select
    photos.image,
    photos.run_id,
    photos.source,
    case when known.several then photos.source || '/' else '' end
        || case when known.feed then products.sku else photos.image end as item,
    products.sku,
    products.brand,
    products.category,
    products.price,
    products.currency,
    case when known.dated_by_feed then products.listed_at else photos.dated end as listed_at
from counted_photos as photos
cross join known
left join chosen_products as products
    on products.sku = photos.sku and products.source = photos.source
where products.sku is not null or not known.feed;

create view items as
select
    item,
    any_value(source) as source,
    any_value(sku) as sku,
    any_value(brand) as brand,
    any_value(category) as category,
    any_value(price) as price,
    any_value(currency) as currency,
    min(listed_at) as listed_at,
    count(*) as photos
from item_photos
group by item
having (getvariable('since') is null or min(listed_at) >= getvariable('since')::date)
    and (getvariable('until') is null or min(listed_at) <= getvariable('until')::date);

-- What reviewers said of labels of photos, run by run.
create view reviewed as
select corrections.image, runs.run_id, corrections.label, corrections.shown
from corrections
join runs on runs.source = corrections.source;

-- The labels of a photo: the model's tags, and above them what reviewers said.
create view photo_labels as
select tags.image, tags.run_id, tags.label
from tags
anti join (select * from reviewed where not shown) as refuted
    on refuted.image = tags.image and refuted.run_id = tags.run_id
    and refuted.label = tags.label
union all
select reviewed.image, reviewed.run_id, reviewed.label
from reviewed
anti join tags
    on tags.image = reviewed.image and tags.run_id = reviewed.run_id
    and tags.label = reviewed.label
where reviewed.shown;

-- On how many of an item's photos a label is, their part of them, and whether that makes it the
-- item's: on one photo (`union`) or on half of them (`vote`).
create view item_label_parts as
select
    photos.item,
    tags.label,
    count(*) as photos,
    count(*) / any_value(items.photos) as part,
    (select labels_by from settings) = 'union' or 2 * count(*) >= any_value(items.photos) as counts
from photo_labels as tags
join item_photos as photos on photos.image = tags.image and photos.run_id = tags.run_id
join items on items.item = photos.item
semi join chosen_labels on chosen_labels.label = tags.label
group by photos.item, tags.label;

create view item_labels as
select item, label from item_label_parts where counts;

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
join items on items.item = item_label_parts.item
where listed_at is not null
group by all;

-- What the counts rest on, and what was left out of them; one row.
create view basis as
with counted as (
    select images.*
    from images
    join runs on runs.run_id = images.run_id
    where runs.counted
)
select
    case when (select count(*) from products) > 0 then 'products' else 'photos' end as counted,
    (select count(*) from items) as items,
    (select count(*) from items where listed_at is not null) as items_with_date,
    (select coalesce(sum(photos), 0)::bigint from items) as photos,
    count(*) filter (status <> 'ok') as failed,
    count(*) filter (status = 'ok' and not is_apparel) as without_apparel,
    count(*) filter (status = 'ok' and is_apparel is distinct from false)
        - (select count(*) from item_photos) as without_product,
    (select count(*) from chosen_products anti join item_photos
        on item_photos.sku = chosen_products.sku and item_photos.source = chosen_products.source
    ) as products_without_photo,
    (select coalesce(sum(tagged), 0)::bigint from runs where not counted) as of_other_runs,
    (select count(*) from corrections) as corrections,
    (select count(distinct source) from runs where counted) as sources,
    (select string_agg(distinct model_id[:12], ', ') from runs where counted) as models,
    max(tagged_at) as tagged_at
from counted;
