package doctor

import "syscall"

// kinds are file systems by their magic number (statfs(2), linux/magic.h).
var kinds = map[uint32]string{
	0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x2fc12fc1: "zfs", 0xf2f52010: "f2fs", 0xca451a4e: "bcachefs",
	0x6969: "nfs", 0xff534d42: "cifs", 0xfe534d42: "smb3", 0x517b: "smb", 0x01021997: "9p", 0x00c36400: "ceph",
	0x5346414f: "afs", 0x0bd00bd0: "lustre", 0x47504653: "gpfs", 0x7461636f: "ocfs2", 0x01161970: "gfs2", 0x65735546: "fuse",
	0x01021994: "tmpfs", 0x858458f6: "ramfs", 0x794c7630: "overlay", 0x73717368: "squashfs",
}

func kind(s *syscall.Statfs_t) string { return kinds[uint32(s.Type)] }
