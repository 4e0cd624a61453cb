-- What the views read: items, worked out when a database is loaded, so that no report has to join
-- every photo again.

-- One row per product, or per photo that counts where there is no feed. Those listed together lie
-- together.
create table all_items as
with counted_sources as (select count(distinct source) > 1 as several from runs where counted),

pictured as (
    select source, sku, count(*) as photos, min(image) as first_photo, min(dated) as dated
    from counted_photos
    where sku is not null
    group by source, sku
),

found as (
    select
        case when several then products.source || '/' else '' end || products.sku as item,
        coalesce(photos, 0) as photos,
        first_photo,
        products.* replace (
            case when dates_from = 'feed' then products.listed_at else dated end as listed_at)
    from products
    left join pictured on pictured.source = products.source and pictured.sku = products.sku
    cross join counted_sources
    cross join settings
    union all by name
    select
        case when several then source || '/' else '' end || image as item,
        1 as photos,
        image as first_photo,
        source,
        dated as listed_at
    from counted_photos
    cross join counted_sources
    where (select count(*) from products) = 0
)

select
    (row_number() over (order by listed_at nulls last, source, item) - 1)::integer as item_id,
    *
from found
order by item_id;

update images
set item_id = all_items.item_id
from all_items
where all_items.sku = images.sku
    and all_items.source = images.source
    and may_count(images.status, images.is_apparel)
    and images.run_id in (select run_id from runs where counted);

update images
set item_id = all_items.item_id
from all_items
where all_items.sku is null
    and all_items.first_photo = images.image
    and all_items.source = images.source
    and may_count(images.status, images.is_apparel)
    and images.run_id in (select run_id from runs where counted);

-- Photos whose content, byte for byte, stands under several products.
create table shared_photos as
with counted as (
    select content_sha256, item_id, image
    from images
    where item_id is not null and sku is not null
),

candidates as (
    select hash(content_sha256) as hashed
    from counted
    group by hashed
    having min(item_id) <> max(item_id)
)

select counted.*
from counted
semi join candidates on candidates.hashed = hash(counted.content_sha256)
qualify min(item_id) over (partition by content_sha256)
    <> max(item_id) over (partition by content_sha256);
